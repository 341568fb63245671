package injecttest

import (
	"fmt"
	"iter"
	"maps"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pillion-mesh/pillion/api/v1alpha1"
)

// World is a set of Injectors and who of them has which name, written down as users read it.
type World struct {
	Injectors []v1alpha1.Injector
	Owners    map[string]string // revision, tag or "default" → Injector
	Listed    bool              // they have neverInject and alwaysInject, for the labels below
}

// Labels of pods that neverInject (be there) and alwaysInject ("yes") select in a Listed world.
const (
	NeverLabel  = "never"
	AlwaysLabel = "always"
)

// Names that somebody has, sorted.
func (w *World) Names() []string { return slices.Sorted(maps.Keys(w.Owners)) }

// Simple has the default Injector "stable" and a canary.
func Simple(policy v1alpha1.Policy) World {
	return World{
		Injectors: []v1alpha1.Injector{
			Injector("stable", "default", func(s *v1alpha1.InjectorSpec) { s.Policy = policy }),
			Injector("canary", "canary"),
		},
		Owners: map[string]string{"default": "stable", "canary": "canary"},
	}
}

// Tagged has three revisions, two of them with a tag; the first is the default one.
func Tagged(policy v1alpha1.Policy) World {
	return World{
		Injectors: []v1alpha1.Injector{
			Injector("stable", "v1", func(s *v1alpha1.InjectorSpec) {
				s.IsDefault, s.Tags, s.Policy = new(true), []string{"prod"}, policy
			}),
			Injector("canary", "v2", func(s *v1alpha1.InjectorSpec) { s.Tags = []string{"next"} }),
			Injector("edge", "v3"),
		},
		Owners: map[string]string{"default": "stable", "v1": "stable", "prod": "stable", "v2": "canary", "next": "canary", "v3": "edge"},
	}
}

// Listed is Simple with neverInject and alwaysInject in both Injectors.
func Listed(policy v1alpha1.Policy) World {
	w := Simple(policy)
	w.Listed = true
	for i := range w.Injectors {
		spec := &w.Injectors[i].Spec
		spec.NeverInject = []metav1.LabelSelector{{MatchExpressions: []metav1.LabelSelectorRequirement{{Key: NeverLabel, Operator: metav1.LabelSelectorOpExists}}}}
		spec.AlwaysInject = []metav1.LabelSelector{{MatchLabels: map[string]string{AlwaysLabel: "yes"}}}
	}
	return w
}

// ListedRows are labels that such lists are about, under each way of being called and of not being called.
func (w *World) ListedRows() []Row {
	var rows []Row
	for _, others := range []map[string]string{
		nil, {NeverLabel: ""}, {AlwaysLabel: "yes"}, {AlwaysLabel: "no"}, {NeverLabel: "x", AlwaysLabel: "yes"},
	} {
		for _, row := range w.rows([]*string{nil, new("enabled"), new("disabled")}, []*string{nil, new("canary")},
			[]*string{nil, new("true"), new("false"), new("other")}) {
			row.Others = others
			w.Answer(&row)
			rows = append(rows, row)
		}
	}
	return rows
}

// choice is what one Injector of AllWorlds can be.
type choice struct {
	tags      int
	isDefault bool
	policy    v1alpha1.Policy
}

// AllWorlds are all sets of up to three revisions with up to two tags each, any of them claiming to be the default one,
// under the policies each can have. They are of different age, the first the oldest; each also claims the tag "wanted".
func AllWorlds() iter.Seq[World] {
	return func(yield func(World) bool) {
		for n := 1; n <= 3; n++ {
			if !combine(make([]choice, 0, n), n, yield) {
				return
			}
		}
	}
}

func combine(chosen []choice, n int, yield func(World) bool) bool {
	if len(chosen) == n {
		return yield(worldOf(chosen))
	}
	for tags := range 3 {
		for _, isDefault := range []bool{false, true} {
			for _, policy := range []v1alpha1.Policy{v1alpha1.PolicyOptIn, v1alpha1.PolicyExplicit, v1alpha1.PolicyOptOut} {
				if policy == v1alpha1.PolicyOptOut && !isDefault || policy == v1alpha1.PolicyExplicit && n == 3 {
					continue // validation refuses the one; the other renders as OptIn does, as one and two show
				}
				if !combine(append(chosen, choice{tags, isDefault, policy}), n, yield) {
					return false
				}
			}
		}
	}
	return true
}

func worldOf(chosen []choice) World {
	w := World{Owners: map[string]string{}}
	own := func(name, injector string) {
		if w.Owners[name] == "" {
			w.Owners[name] = injector
		}
	}
	for i, c := range chosen {
		name := fmt.Sprintf("injector-%d", len(chosen)-i) // the oldest is the last by name
		revision := fmt.Sprintf("r%d", i)
		tags := []string{revision + "a", revision + "b"}[:c.tags]
		inj := Injector(name, revision, func(s *v1alpha1.InjectorSpec) {
			s.IsDefault, s.Policy, s.Tags = &c.isDefault, c.policy, append([]string{"wanted"}, tags...)
		})
		inj.CreationTimestamp = metav1.NewTime(time.Unix(int64(i), 0))
		w.Injectors = append(w.Injectors, inj)
		for _, owned := range inj.Spec.Tags {
			own(owned, name)
		}
		own(revision, name)
		if c.isDefault {
			own("default", name)
		}
	}
	return w
}
