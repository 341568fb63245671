package inject

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/pillion-mesh/pillion/internal/inject/rawjson"
)

// selectors are an Injector's alwaysInject or neverInject, compiled once.
type selectors []labels.Selector

// compileSelectors expects what Validate has found good. Of anything else nothing matches.
func compileSelectors(list []metav1.LabelSelector) selectors {
	compiled := make(selectors, len(list))
	for i := range list {
		var err error
		if compiled[i], err = metav1.LabelSelectorAsSelector(&list[i]); err != nil {
			compiled[i] = labels.Nothing()
		}
	}
	return compiled
}

// first is the index of the first selector that matches; -1 if none does.
func (s selectors) first(pod labels.Labels) int {
	for i, selector := range s {
		if selector.Matches(pod) {
			return i
		}
	}
	return -1
}

// podLabels are a pod's labels where they are: no map is made of them.
type podLabels struct{ of *rawjson.Value }

func (p podLabels) Has(key string) bool   { return p.of.Has(key) }
func (p podLabels) Get(key string) string { return p.of.Get(key).Text() }

func (p podLabels) Lookup(key string) (value string, exists bool) {
	label := p.of.Get(key)
	return label.Text(), label != nil
}
