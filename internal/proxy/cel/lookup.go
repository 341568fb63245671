package cel

import (
	"strings"

	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/common/types/ref"
	"github.com/google/cel-go/common/types/traits"
)

// lookup is a map whose keys are looked up when they are asked for.
type lookup struct {
	traits.Mapper // an empty one, for what nobody does with headers
	get           func(key string) any
	size          int
}

func newLookup(get func(string) any) *lookup {
	return &lookup{Mapper: types.NewStringInterfaceMap(types.DefaultTypeAdapter, nil), get: get}
}

// newHeaders is the head of a message: its names have no case, several values are one with commas.
func newHeaders(joined func(string) (string, bool), size int) *lookup {
	l := newLookup(func(key string) any {
		if v, there := joined(strings.ToLower(key)); there {
			return v
		}
		return nil
	})
	l.size = size
	return l
}

// Find implements traits.Mapper.
func (l *lookup) Find(key ref.Val) (ref.Val, bool) {
	name, ok := key.(types.String)
	if !ok {
		return nil, false
	}
	v := l.get(string(name))
	if v == nil {
		return nil, false
	}
	return types.DefaultTypeAdapter.NativeToValue(v), true
}

// Get implements traits.Indexer.
func (l *lookup) Get(key ref.Val) ref.Val {
	if v, found := l.Find(key); found {
		return v
	}
	return types.NewErr("no such key: %v", key)
}

// Contains implements traits.Container.
func (l *lookup) Contains(key ref.Val) ref.Val {
	_, found := l.Find(key)
	return types.Bool(found)
}

// Size implements traits.Sizer.
func (l *lookup) Size() ref.Val { return types.Int(l.size) }
