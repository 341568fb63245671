package admin

import (
	"errors"
	"maps"
	"strconv"
	"sync"
)

// maxOverrides bounds what can be put into the admin layer.
const maxOverrides = 1000

// Layers is a layered runtime: static layers of the bootstrap, and an admin layer that can be changed.
type Layers struct {
	names  []string
	static []map[string]string
	admin  int // index of the admin layer; -1: none

	mu        sync.RWMutex
	overrides map[string]string
}

// NewLayers returns a runtime of these layers, named in order; the values of the one with the index admin are what
// Modify changes. -1: there is none.
func NewLayers(names []string, static []map[string]string, admin int) *Layers {
	return &Layers{names: names, static: static, admin: admin, overrides: map[string]string{}}
}

// Layers returns the layers' names.
func (l *Layers) Layers() []string { return l.names }

// Entries returns the values of each key, one a layer.
func (l *Layers) Entries() map[string][]string {
	l.mu.RLock()
	defer l.mu.RUnlock()
	all := map[string][]string{}
	for i := range l.names {
		for key, value := range l.layer(i) {
			if all[key] == nil {
				all[key] = make([]string, len(l.names))
			}
			all[key][i] = value
		}
	}
	return all
}

func (l *Layers) layer(i int) map[string]string {
	if i == l.admin {
		return l.overrides
	}
	return l.static[i]
}

// Modify sets keys in the admin layer; an empty value deletes.
func (l *Layers) Modify(values map[string]string) error {
	if l.admin < 0 {
		return errors.New("No admin layer specified") //nolint:staticcheck // Envoy's words
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.overrides)+len(values) > maxOverrides {
		return errors.New("the admin layer is full")
	}
	for key, value := range values {
		if value == "" {
			delete(l.overrides, key)
		} else {
			l.overrides[key] = value
		}
	}
	return nil
}

// PerMillion returns how many of a million a fraction takes: the runtime's value for the key in percent, if there is
// one, else the default.
func (l *Layers) PerMillion(key string, otherwise uint32) uint32 {
	l.mu.RLock()
	defer l.mu.RUnlock()
	for i := len(l.names) - 1; i >= 0; i-- {
		if text, ok := l.layer(i)[key]; ok && text != "" {
			if percent, err := strconv.ParseFloat(text, 64); err == nil && percent >= 0 && percent <= 100 {
				return uint32(percent * 10_000)
			}
		}
	}
	return otherwise
}

// Snapshot returns the values that count, by key.
func (l *Layers) Snapshot() map[string]string {
	all := map[string]string{}
	l.mu.RLock()
	defer l.mu.RUnlock()
	for i := range l.names {
		maps.Copy(all, l.layer(i))
	}
	return all
}
