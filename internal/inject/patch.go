package inject

import (
	"strconv"
	"strings"

	"github.com/pillion-mesh/pillion/internal/inject/rawjson"
)

// makePatch writes the RFC 6902 operations that lead from one pod to the other; nil if there are none. Parts both share
// are skipped without a look inside.
func makePatch(from, to *rawjson.Value) []byte {
	p := &patcher{out: make([]byte, 0, 8<<10), path: make([]byte, 0, 128)}
	p.diff(from, to, podSchema)
	if len(p.out) == 0 {
		return nil
	}
	return append(p.out, ']')
}

type patcher struct {
	out  []byte
	path []byte
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
	p.out = append(p.out, `","path":`...)
	p.out = rawjson.AppendQuoted(p.out, string(p.path))
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
	if strings.ContainsAny(step, "~/") {
		step = strings.ReplaceAll(strings.ReplaceAll(step, "~", "~0"), "/", "~1")
	}
	p.path = append(p.path, step...)
	f()
	p.path = p.path[:length]
}

func (p *patcher) diff(from, to *rawjson.Value, s *schema) {
	switch {
	case from == to:
	case from.Kind() == rawjson.Object && to.Kind() == rawjson.Object:
		p.diffObjects(from, to, s)
	case rawjson.Equal(from, to):
	case s.keyed() && from.Kind() == rawjson.List && to.Kind() == rawjson.List && s.distinct(from) && s.distinct(to):
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

// distinct says whether a list is short and its items are objects with keys of their own, so that they can be followed.
func (s *schema) distinct(list *rawjson.Value) bool {
	items := list.Items()
	if len(items) > maxListDiff {
		return false
	}
	for i, item := range items {
		if item.Kind() != rawjson.Object || s.find(items, item) != i {
			return false
		}
	}
	return true
}

// diffLists removes what went, from the end, then walks the new list and puts each item where it belongs. now follows
// what the API server's list looks like after each operation.
func (p *patcher) diffLists(from, to *rawjson.Value, s *schema) {
	now := make([]*rawjson.Value, len(from.Items()), len(from.Items())+len(to.Items()))
	copy(now, from.Items())
	for i := len(now) - 1; i >= 0; i-- {
		if s.find(to.Items(), now[i]) < 0 {
			p.in(strconv.Itoa(i), p.remove)
			now = append(now[:i], now[i+1:]...)
		}
	}
	for i, want := range to.Items() {
		at := s.find(now, want)
		if at == i {
			if now[i] != want {
				p.in(strconv.Itoa(i), func() { p.diff(now[i], want, s.item) })
			}
			continue
		}
		if at > i {
			p.in(strconv.Itoa(at), p.remove)
			now = append(now[:at], now[at+1:]...)
		}
		step := strconv.Itoa(i)
		if i == len(now) {
			step = "-"
		}
		p.in(step, func() { p.set("add", want) })
		now = append(now, nil)
		copy(now[i+1:], now[i:])
		now[i] = want
	}
}
