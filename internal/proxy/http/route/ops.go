package route

import (
	"strings"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
	"github.com/pillion-mesh/pillion/internal/proxy/format"
	"github.com/pillion-mesh/pillion/internal/proxy/stream"
)

// Ops are header operations ready to be made: what is removed, then what is added.
type Ops struct {
	remove []string
	add    []addition
	reads  bool // values are made out of the exchange
}

type addition struct {
	name      string
	literal   string // unless value is set
	value     *format.Format
	action    config.AppendAction
	keepEmpty bool
}

// CompileOps makes header operations ready. Formats were looked at when the configuration came in; one that doesn't
// compile is written as it stands.
func CompileOps(o *config.HeaderOps) *Ops {
	c := &Ops{remove: o.Remove, add: make([]addition, len(o.Add))}
	for i := range o.Add {
		c.add[i] = newAddition(&o.Add[i])
		c.reads = c.reads || c.add[i].value != nil
	}
	return c
}

func newAddition(h *config.HeaderAdd) addition {
	a := addition{name: h.Name, action: h.Action, keepEmpty: h.KeepEmpty}
	if h.Value == nil {
		return a
	}
	a.literal = h.Value.Source
	if strings.Contains(h.Value.Source, "%") {
		if compiled, err := format.Compile(h.Value.Source); err == nil {
			a.value = compiled
		}
	}
	return a
}

// ApplyRequest makes the operations on x's request. Pseudo-headers and Host can be replaced, never removed.
func (o *Ops) ApplyRequest(x *stream.Exchange) {
	for _, name := range o.remove {
		if name != "host" && !strings.HasPrefix(name, ":") {
			x.Request.Fields.Remove(name)
		}
	}
	var kept [4]string
	for i, value := range o.values(x, kept[:0]) {
		if a := &o.add[i]; !setPseudo(&x.Request, a.name, value) {
			a.apply(&x.Request.Fields, value)
		}
	}
}

// ApplyResponse makes the operations on x's response.
func (o *Ops) ApplyResponse(x *stream.Exchange) { o.Apply(&x.Response.Fields, x) }

// Apply makes the operations on fields of an answer; values are made out of x.
func (o *Ops) Apply(fields *stream.Fields, x *stream.Exchange) {
	for _, name := range o.remove {
		fields.Remove(name)
	}
	var kept [4]string
	for i, value := range o.values(x, kept[:0]) {
		if a := &o.add[i]; !strings.HasPrefix(a.name, ":") {
			a.apply(fields, value)
		}
	}
}

// values are made before any field is changed: an operation doesn't see what the one before it did.
func (o *Ops) values(x *stream.Exchange, list []string) []string {
	for i := range o.add {
		list = append(list, o.add[i].text(x))
	}
	return list
}

func (a *addition) text(x *stream.Exchange) string {
	if a.value == nil {
		return a.literal
	}
	var buf [128]byte
	return string(a.value.Append(buf[:0], x))
}

func (a *addition) apply(fields *stream.Fields, value string) {
	if value == "" && !a.keepEmpty {
		return
	}
	_, there := fields.Get(a.name)
	switch a.action {
	case config.AddIfAbsent:
		if !there {
			fields.Add(a.name, value)
		}
	case config.OverwriteIfPresent:
		if there {
			fields.Set(a.name, value)
		}
	case config.OverwriteOrAdd:
		fields.Set(a.name, value)
	default:
		fields.Add(a.name, value)
	}
}

// setPseudo replaces a pseudo-header or Host; it reports whether name is one.
func setPseudo(r *stream.Request, name, value string) bool {
	if name != "host" && !strings.HasPrefix(name, ":") {
		return false
	}
	if value == "" {
		return true
	}
	switch name {
	case "host", ":authority":
		r.Authority = value
	case ":path":
		r.Path = value
	case ":method":
		r.Method = value
	case ":scheme":
		r.Scheme = value
	}
	return true
}
