package workload

import (
	"maps"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pillion-mesh/pillion/internal/inject"
	"github.com/pillion-mesh/pillion/internal/istio"
)

// state is what a pod is to an Injector.
type state string

const (
	stateNone      state = ""          // nobody's here
	stateInjected  state = "injected"  // has its sidecar
	stateStale     state = "stale"     // has one that a new pod wouldn't get
	stateCandidate state = "candidate" // webhooks select it and it has no sidecar: only the whole pod tells whether it should
	stateMissing   state = "missing"   // it should
)

// verdict is what a pod's metadata says.
type verdict struct {
	state    state
	injector string
	has      string // the hash of the sidecar it has
}

// view is what pods are held against in one look at all of them.
type view struct {
	set        *inject.Set
	namespaces map[string]inject.Namespace
	keys       []string          // of the pod labels that webhooks look at
	selected   map[string]string // namespace and those labels -> Injector
}

func newView(set *inject.Set, namespaces map[string]inject.Namespace) *view {
	keys := map[string]bool{}
	for _, configuration := range set.Webhooks() {
		for _, w := range configuration.Webhooks {
			if w.ObjectSelector == nil {
				continue
			}
			for key := range w.ObjectSelector.MatchLabels {
				keys[key] = true
			}
			for _, requirement := range w.ObjectSelector.MatchExpressions {
				keys[requirement.Key] = true
			}
		}
	}
	return &view{set: set, namespaces: namespaces, keys: slices.Sorted(maps.Keys(keys)), selected: map[string]string{}}
}

// classify says what a pod is, as far as its metadata tells.
func (v *view) classify(p *metav1.PartialObjectMetadata) verdict {
	if p.DeletionTimestamp != nil {
		return verdict{}
	}
	_, injected := p.Annotations[istio.AnnotationStatus]
	by, has := p.Annotations[inject.AnnotationInjector], p.Annotations[inject.AnnotationInjectorHash]
	selects := v.injectorFor(p)
	switch {
	case injected && by == "": // another mesh's
		return verdict{}
	case !injected && selects == "":
		return verdict{}
	case !injected:
		return verdict{state: stateCandidate, injector: selects}
	case selects != "" && selects != by: // moved to another revision, and would get its sidecar
		return verdict{state: stateStale, injector: selects, has: has}
	case v.set.Program(by) == nil:
		return verdict{}
	case v.set.Program(by).Hash() != has:
		return verdict{state: stateStale, injector: by, has: has}
	}
	return verdict{state: stateInjected, injector: by, has: has}
}

// injectorFor is the Injector whose webhooks select a pod. Few combinations of labels are in use: each is looked at once.
func (v *view) injectorFor(p *metav1.PartialObjectMetadata) string {
	var key strings.Builder
	key.WriteString(p.Namespace)
	for _, label := range v.keys {
		if value, has := p.Labels[label]; has {
			key.WriteString("\x00" + label + "\x00" + value)
		}
	}
	injector, known := v.selected[key.String()]
	if !known {
		if matches := inject.Select(v.set.Webhooks(), v.namespace(p.Namespace), p.Labels); len(matches) > 0 && v.set.Program(matches[0].Injector) != nil {
			injector = matches[0].Injector
		}
		v.selected[key.String()] = injector
	}
	return injector
}

// namespace as the informer knows it. One that is too new for it has no labels yet; the next look sees them.
func (v *view) namespace(name string) inject.Namespace {
	ns := v.namespaces[name]
	ns.Name = name
	return ns
}
