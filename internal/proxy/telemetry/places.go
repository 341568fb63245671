package telemetry

import (
	"reflect"
	"strings"
	"unsafe"
)

// kind is what a statistic is.
type kind uint8

const (
	counterKind kind = iota
	gaugeKind
	histogramKind
	textKind
)

// place is where in a struct a statistic is, and its name below the object's. The structs' tags say both, so that a
// counter can't be added and forgotten in one of the outputs.
type place struct {
	name    string
	kind    kind
	offset  uintptr
	inShard bool
	// block is the nested struct it is of, "" for none: a block nobody ever used isn't written at all.
	block string
}

var (
	counterType   = reflect.TypeFor[Counter]()
	gaugeType     = reflect.TypeFor[Gauge]()
	histogramType = reflect.TypeFor[Histogram]()
)

// placesOf lists the statistics of a struct type.
func placesOf(t reflect.Type, inShard bool) []place {
	return describe(nil, t, place{inShard: inShard})
}

// describe appends the places of type t, of which at says name so far and offset.
func describe(list []place, t reflect.Type, at place) []place {
	switch t {
	case counterType:
		return append(list, at)
	case gaugeType:
		at.kind = gaugeKind
		return append(list, at)
	case histogramType:
		at.kind = histogramKind
		return append(list, at)
	}
	prefix, base := at.name, at.offset
	for i := range t.NumField() {
		field := t.Field(i)
		tag, ok := field.Tag.Lookup("stat")
		if !ok {
			continue
		}
		at.offset = base + field.Offset
		list = describeField(list, field.Type, at, prefix, strings.Split(tag, ","))
	}
	return list
}

// describeField appends a field's places. An array has as many names as elements.
func describeField(list []place, t reflect.Type, at place, prefix string, names []string) []place {
	size := uintptr(0)
	if t.Kind() == reflect.Array {
		t, size = t.Elem(), t.Elem().Size()
	}
	for _, name := range names {
		at.name = prefix + name
		if strings.HasSuffix(name, ".") {
			at.block = at.name
		}
		list = describe(list, t, at)
		at.offset += size
	}
	return list
}

// optional reports whether the place belongs to a block that is written only if it was used: Envoy has these
// statistics only where the feature is configured.
func (p *place) optional() bool {
	return p.block != "" && !strings.HasPrefix(p.block, "circuit_breakers.")
}

// lazy reports whether Envoy makes the statistic when it first counts: answers of an upstream by class.
func (p *place) lazy() bool {
	return p.inShard && strings.HasPrefix(p.name, "upstream_rq_") && strings.HasSuffix(p.name, "xx")
}

func (p *place) counter(base unsafe.Pointer) *Counter { return (*Counter)(unsafe.Add(base, p.offset)) }
func (p *place) gauge(base unsafe.Pointer) *Gauge     { return (*Gauge)(unsafe.Add(base, p.offset)) }
func (p *place) histogram(base unsafe.Pointer) *Histogram {
	return (*Histogram)(unsafe.Add(base, p.offset))
}

// value reads a counter or gauge.
func (p *place) value(base unsafe.Pointer) int64 {
	if p.kind == gaugeKind {
		return p.gauge(base).Load()
	}
	return int64(p.counter(base).Load())
}
