package telemetry

import "unsafe"

// HTTPCounter returns the counter that Envoy calls http.PREFIX.NAME (rbac.allowed): HTTP's, if it has one of that name, else
// one of its own. A name must be one counter only: readers of metrics refuse a second.
func (s *Store) HTTPCounter(prefix, name string) *Counter {
	if p := httpPlace(name, counterKind); p != nil {
		return p.counter(unsafe.Pointer(s.HTTP(prefix)))
	}
	return s.Counter("http." + prefix + "." + name)
}

// HTTPGauge is HTTPCounter for what goes up and down.
func (s *Store) HTTPGauge(prefix, name string) *Gauge {
	if p := httpPlace(name, gaugeKind); p != nil {
		return p.gauge(unsafe.Pointer(s.HTTP(prefix)))
	}
	return s.Gauge("http." + prefix + "." + name)
}

func httpPlace(name string, k kind) *place {
	for i := range httpClass.places {
		if p := &httpClass.places[i]; p.name == name && p.kind == k && !p.inShard {
			return p
		}
	}
	return nil
}
