package inject

import (
	"slices"
	"strconv"

	"github.com/pillion-mesh/pillion/internal/inject/rawjson"
)

// appendPatch writes the RFC 6902 operations that lead from one pod to the other to an empty b; nil if there are none.
// Parts both share are skipped without a look inside.
func appendPatch(b []byte, from, to *rawjson.Value) []byte {
	p := &patcher{out: b, path: make([]byte, 0, 128)}
	p.diff(from, to, podSchema)
	if len(p.out) == 0 {
		return nil
	}
	return append(p.out, ']')
}

type patcher struct {
	out  []byte
	path []byte // as JSON has it between quotes
}

// op starts an operation: everything but its value.
func (p *patcher) op(name string) {
	if len(p.out) == 0 {
		p.out = append(p.out, '[')
	} else {
		p.out = append(p.out, ',')
	}
	p.out = append(p.out, `{"op":"`...)
	p.out = append(p.out, name...)
	p.out = append(p.out, `","path":"`...)
	p.out = append(p.out, p.path...)
	p.out = append(p.out, '"')
}

func (p *patcher) remove() {
	p.op("remove")
	p.out = append(p.out, '}')
}

func (p *patcher) set(name string, value *rawjson.Value) {
	p.op(name)
	p.out = append(p.out, `,"value":`...)
	p.out = value.Append(p.out)
	p.out = append(p.out, '}')
}

// in runs f with one more step in the path.
func (p *patcher) in(step string, f func()) {
	length := len(p.path)
	p.path = append(p.path, '/')
	from := 0
	for i := range len(step) {
		switch step[i] {
		case '~':
			p.path = append(rawjson.AppendEscaped(p.path, step[from:i]), "~0"...)
			from = i + 1
		case '/':
			p.path = append(rawjson.AppendEscaped(p.path, step[from:i]), "~1"...)
			from = i + 1
		}
	}
	p.path = rawjson.AppendEscaped(p.path, step[from:])
	f()
	p.path = p.path[:length]
}

func (p *patcher) diff(from, to *rawjson.Value, s *schema) {
	switch {
	case from == to:
	case from.Kind() == rawjson.Object && to.Kind() == rawjson.Object:
		p.diffObjects(from, to, s)
	case rawjson.Equal(from, to):
	case s.keyed() && from.Kind() == rawjson.List && to.Kind() == rawjson.List:
		p.diffLists(from, to, s)
	default:
		p.set("replace", to)
	}
}

func (p *patcher) diffObjects(from, to *rawjson.Value, s *schema) {
	then, now := from.Finder(), to.Finder()
	for _, m := range from.Members() {
		if now.Get(m.Key) == nil {
			p.in(m.Key, p.remove)
		}
	}
	for _, m := range to.Members() {
		old := then.Get(m.Key)
		if old == m.Value {
			continue
		}
		p.in(m.Key, func() {
			if old == nil {
				p.set("add", m.Value)
				return
			}
			p.diff(old, m.Value, s.field(m.Key))
		})
	}
}

// maxListDiff bounds the work on one list; a longer one that changed is replaced as a whole.
const maxListDiff = 256

// keyedList is a list with the keys of its items.
type keyedList struct {
	items []*rawjson.Value
	keys  []itemKey
}

// follow says whether a list is short and its items are objects with keys of their own, so that they can be followed.
// There is room for more items.
func (s *schema) follow(list *rawjson.Value, more int) (l keyedList, ok bool) {
	n := list.Len()
	if n > maxListDiff {
		return l, false
	}
	l = keyedList{append(make([]*rawjson.Value, 0, n+more), list.Items()...), make([]itemKey, 0, n+more)}
	for _, item := range l.items {
		key := s.keyOf(item)
		if item.Kind() != rawjson.Object || slices.Contains(l.keys, key) {
			return l, false
		}
		l.keys = append(l.keys, key)
	}
	return l, true
}

func (l *keyedList) find(key itemKey) int { return slices.Index(l.keys, key) }

func (l *keyedList) remove(i int) {
	l.items, l.keys = slices.Delete(l.items, i, i+1), slices.Delete(l.keys, i, i+1)
}

func (l *keyedList) insert(i int, item *rawjson.Value, key itemKey) {
	l.items, l.keys = slices.Insert(l.items, i, item), slices.Insert(l.keys, i, key)
}

// diffLists removes what went, from the end, then walks the new list and puts each item where it belongs. now follows
// what the API server's list looks like after each operation.
func (p *patcher) diffLists(from, to *rawjson.Value, s *schema) {
	now, ok := s.follow(from, to.Len())
	wanted, distinct := s.follow(to, 0)
	if !ok || !distinct {
		p.set("replace", to)
		return
	}
	for i := len(now.items) - 1; i >= 0; i-- {
		if wanted.find(now.keys[i]) < 0 {
			p.in(strconv.Itoa(i), p.remove)
			now.remove(i)
		}
	}
	for i, want := range wanted.items {
		at := now.find(wanted.keys[i])
		if at == i {
			if now.items[i] != want {
				p.in(strconv.Itoa(i), func() { p.diff(now.items[i], want, s.item) })
			}
			continue
		}
		if at > i {
			p.in(strconv.Itoa(at), p.remove)
			now.remove(at)
		}
		step := strconv.Itoa(i)
		if i == len(now.items) {
			step = "-"
		}
		p.in(step, func() { p.set("add", want) })
		now.insert(i, want, wanted.keys[i])
	}
}
