package remotelog

import (
	"encoding/json"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
	"github.com/pillion-mesh/pillion/internal/proxy/format"
	"github.com/pillion-mesh/pillion/internal/proxy/stream"
	"github.com/pillion-mesh/pillion/internal/proxy/wire"
)

// Fields of OpenTelemetry's LogRecord, KeyValue and AnyValue.
const (
	recordTime       = 1
	recordBody       = 5
	recordAttributes = 6
	recordTrace      = 9
	recordSpan       = 10

	pairKey     = 1
	pairValue   = 2
	valueText   = 1
	valueList   = 5
	valueObject = 6
	listValues  = 1
)

// records makes LogRecords of exchanges.
type records struct {
	body       *value // nil: none
	attributes []field
	state      []string
	tags       []tag
}

func newRecords(c *config.RemoteLog) *records {
	r := &records{attributes: compileFields(c.Attributes), state: c.FilterState, tags: compileTags(c.Tags)}
	if c.Body != nil {
		body := compileValue(c.Body)
		r.body = &body
	}
	return r
}

func (r *records) encode(x *stream.Exchange) []byte {
	b := wire.AppendFixed(make([]byte, 0, 512), recordTime, uint64(x.Start.UnixNano()))
	if r.body != nil {
		b = wire.AppendBytes(b, recordBody, r.body.encode(x))
	}
	for _, each := range r.attributes {
		b = wire.AppendBytes(b, recordAttributes, pair(each.key, each.value.encode(x)))
	}
	for _, key := range r.state {
		if text, ok := stateText(x, key); ok {
			b = wire.AppendBytes(b, recordAttributes, pair(key, textValue(text)))
		}
	}
	for _, each := range r.tags {
		if text := each.of(x); text != "" {
			b = wire.AppendBytes(b, recordAttributes, pair(each.name, textValue(text)))
		}
	}
	if s := x.Span; s != nil {
		b = wire.AppendBytes(wire.AppendBytes(b, recordTrace, s.TraceID[:]), recordSpan, s.ID[:])
	}
	return b
}

// stateText is an object of filter state as a text.
func stateText(x *stream.Exchange, key string) (string, bool) {
	switch v := format.FilterState(x, key).(type) {
	case nil:
		return "", false
	case string:
		return v, true
	default:
		text, err := json.Marshal(v)
		return string(text), err == nil
	}
}

// field is a value with its key.
type field struct {
	key   string
	value value
}

func compileFields(list []config.LogField) []field {
	out := make([]field, 0, len(list))
	for i := range list {
		out = append(out, field{list[i].Key, compileValue(&list[i].Value)})
	}
	return out
}

// value is a LogValue, compiled.
type value struct {
	raw           []byte // constant
	text          *format.Format
	fields        []field
	list          []value
	isList, isObj bool
}

func compileValue(c *config.LogValue) value {
	v := value{raw: c.Raw, isList: c.IsList, isObj: c.IsObject}
	switch {
	case c.IsObject:
		v.fields = compileFields(c.Fields)
	case c.IsList:
		for i := range c.List {
			v.list = append(v.list, compileValue(&c.List[i]))
		}
	case c.Raw == nil:
		if f, err := format.CompileValue(c.Text, "-"); err == nil {
			v.text = f
		}
	}
	return v
}

// encode is the AnyValue. x may be nil for constants.
func (v *value) encode(x *stream.Exchange) []byte {
	switch {
	case v.isObj:
		var all []byte
		for i := range v.fields {
			all = wire.AppendBytes(all, listValues, pair(v.fields[i].key, v.fields[i].value.encode(x)))
		}
		return wire.AppendBytes(nil, valueObject, all)
	case v.isList:
		var all []byte
		for i := range v.list {
			all = wire.AppendBytes(all, listValues, v.list[i].encode(x))
		}
		return wire.AppendBytes(nil, valueList, all)
	case v.text != nil:
		return textValue(string(v.text.Append(nil, x)))
	default:
		return v.raw
	}
}

func textValue(text string) []byte { return wire.AppendText(nil, valueText, text) }

func pair(key string, value []byte) []byte {
	return wire.AppendBytes(wire.AppendText(nil, pairKey, key), pairValue, value)
}
