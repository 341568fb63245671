package injector

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
)

// TestTwoOperatorsKeepTheirOwn: an operator's ConfigMaps are named after its Service, so that no two operators, whatever
// Injectors each serves, read or write each other's.
func TestTwoOperatorsKeepTheirOwn(t *testing.T) {
	inj := made("default", "default", 1)
	inj.UID = "u1"
	w := newWorld(t, inj)
	first := w.c.store
	second := first
	second.Service = "pillion-canary"
	w.must(first.Save(t.Context(), w.get("default")))
	if good, err := second.Load(t.Context(), inj); good != nil || err != nil {
		t.Errorf("the second operator finds the first one's: %+v, %v", good, err)
	}
	w.must(second.Save(t.Context(), w.get("default")))
	var all corev1.ConfigMapList
	w.must(w.api.List(t.Context(), &all))
	names := map[string]bool{}
	for i := range all.Items {
		names[all.Items[i].Name] = true
	}
	if !names["pillion-last-good-default"] || !names["pillion-canary-last-good-default"] {
		t.Errorf("ConfigMaps %v", names)
	}
}
