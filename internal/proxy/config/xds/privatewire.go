package xds

import (
	"math"
	"time"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"
)

// maxPrivateDepth is more than any schema nests.
const maxPrivateDepth = 8

func (d *decoder) readWire(message string, raw []byte, schema []field, depth int) object {
	out := object{}
	for len(raw) > 0 && depth < maxPrivateDepth {
		number, kind, n := protowire.ConsumeTag(raw)
		size := protowire.ConsumeFieldValue(number, kind, raw[max(n, 0):])
		if n < 0 || size < 0 {
			d.fail("not a %s: invalid wire format", message)
			return out
		}
		value := raw[n : n+size]
		raw = raw[n+size:]
		f := fieldNumbered(schema, number)
		if f == nil {
			d.addUnknown(message, 1)
			continue
		}
		d.readWireField(message, f, kind, value, out, depth)
	}
	return out
}

func fieldNumbered(schema []field, number protowire.Number) *field {
	for i := range schema {
		if schema[i].number == number {
			return &schema[i]
		}
	}
	return nil
}

func (d *decoder) readWireField(message string, f *field, kind protowire.Type, value []byte, out object, depth int) {
	if (kind == protowire.VarintType) != (f.kind == asBool || f.kind == asEnum) || kind != protowire.VarintType && kind != protowire.BytesType {
		d.fail("not a %s: field %s has another type", message, f.name)
		return
	}
	if kind == protowire.VarintType {
		n, _ := protowire.ConsumeVarint(value)
		if f.kind == asBool {
			out[f.name] = n != 0
		} else {
			out[f.name] = int(min(n, math.MaxInt32))
		}
		return
	}
	payload, _ := protowire.ConsumeBytes(value)
	d.readWireBytes(message, f, payload, out, depth)
}

func (d *decoder) readWireBytes(message string, f *field, payload []byte, out object, depth int) {
	var value any
	switch f.kind {
	case asText:
		if !utf8.Valid(payload) {
			d.fail("not a %s: field %s is not UTF-8", message, f.name)
		}
		value = d.intern(string(payload))
	case asDuration:
		value = wireDuration(payload)
	case asTextMap:
		entry := d.readWire(message, payload, []field{{number: 1, name: "key"}, {number: 2, name: "value"}}, depth+1)
		addText(out, f.name, entry.text("key"), entry.text("value"))
		return
	default:
		value = d.readWire(message, payload, f.message, depth+1)
	}
	if f.repeated {
		value = append(out.list(f.name), value)
	}
	out[f.name] = value
}

func addText(out object, name, key, value string) {
	m := as[map[string]string](out[name])
	if m == nil {
		m = map[string]string{}
		out[name] = m
	}
	m[key] = value
}

// wireDuration reads a google.protobuf.Duration; beyond an hour or below zero it says zero: nothing here takes longer.
func wireDuration(raw []byte) time.Duration {
	var parts [3]uint64
	for len(raw) > 0 {
		number, kind, n := protowire.ConsumeTag(raw)
		if n < 0 {
			return 0
		}
		size := protowire.ConsumeFieldValue(number, kind, raw[n:])
		if size < 0 {
			return 0
		}
		if kind == protowire.VarintType && number < 3 {
			parts[number], _ = protowire.ConsumeVarint(raw[n:])
		}
		raw = raw[n+size:]
	}
	if parts[1] > 3600 || parts[2] >= 1e9 {
		return 0
	}
	return time.Duration(parts[1])*time.Second + time.Duration(parts[2])
}
