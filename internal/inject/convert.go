package inject

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/common/types/ref"
	"github.com/google/cel-go/common/types/traits"

	"github.com/pillion-mesh/pillion/internal/inject/rawjson"
)

// fromGo turns a variable's value into JSON.
func fromGo(value any) *rawjson.Value {
	switch value := value.(type) {
	case string:
		return rawjson.NewString(value)
	case bool:
		return rawjson.NewBool(value)
	case int64:
		return rawjson.NewScalar(rawjson.Number, strconv.FormatInt(value, 10))
	case []string:
		return stringList(value)
	case map[string]string:
		members := make([]rawjson.Member, 0, len(value))
		for k, v := range value {
			members = append(members, rawjson.Member{Key: k, Value: rawjson.NewString(v)})
		}
		return sortedObject(members)
	case []Container:
		items := make([]*rawjson.Value, len(value))
		for i, c := range value {
			items[i] = fromGo(map[string]string{"name": c.Name, "image": c.Image})
		}
		return rawjson.NewList(items...)
	}
	return nil
}

// sortedObject gives maps, which have no order, the same text each time.
func sortedObject(members []rawjson.Member) *rawjson.Value {
	slices.SortFunc(members, func(a, b rawjson.Member) int { return cmp.Compare(a.Key, b.Key) })
	return rawjson.NewObject(members...)
}

// fromCEL turns an expression's result into JSON; errNone for optional.none() and null.
func fromCEL(value ref.Val, depth int) (*rawjson.Value, error) {
	if depth > 16 {
		return nil, fmt.Errorf("the value is nested too deeply")
	}
	switch value := value.(type) {
	case *types.Optional:
		if !value.HasValue() {
			return nil, errNone
		}
		return fromCEL(value.GetValue(), depth)
	case types.Null:
		return nil, errNone
	case types.String:
		return rawjson.NewString(string(value)), nil
	case types.Bool:
		return rawjson.NewBool(bool(value)), nil
	case types.Int:
		return rawjson.NewScalar(rawjson.Number, strconv.FormatInt(int64(value), 10)), nil
	case types.Uint:
		return rawjson.NewScalar(rawjson.Number, strconv.FormatUint(uint64(value), 10)), nil
	case types.Double:
		return fromDouble(float64(value))
	case traits.Mapper:
		return fromMap(value, depth)
	case traits.Lister:
		return fromList(value, depth)
	}
	return nil, fmt.Errorf("a value of type %s can't stand in a pod", value.Type().TypeName())
}

func fromDouble(value float64) (*rawjson.Value, error) {
	text := strconv.FormatFloat(value, 'g', -1, 64)
	if _, err := rawjson.Parse(text); err != nil { // NaN, infinity
		return nil, fmt.Errorf("%s can't stand in a pod", text)
	}
	return rawjson.NewScalar(rawjson.Number, text), nil
}

func fromMap(value traits.Mapper, depth int) (*rawjson.Value, error) {
	var members []rawjson.Member
	for it := value.Iterator(); it.HasNext() == types.True; {
		key := it.Next()
		text, ok := key.(types.String)
		if !ok {
			return nil, fmt.Errorf("a map's key is a %s, want string", key.Type().TypeName())
		}
		item, err := fromCEL(value.Get(key), depth+1)
		if errors.Is(err, errNone) {
			continue
		}
		if err != nil {
			return nil, err
		}
		members = append(members, rawjson.Member{Key: string(text), Value: item})
	}
	return sortedObject(members), nil
}

func fromList(value traits.Lister, depth int) (*rawjson.Value, error) {
	var items []*rawjson.Value
	for it := value.Iterator(); it.HasNext() == types.True; {
		item, err := fromCEL(it.Next(), depth+1)
		if errors.Is(err, errNone) {
			continue
		}
		if err != nil {
			return nil, err
		}
		items = append(items, item)
	}
	return rawjson.NewList(items...), nil
}
