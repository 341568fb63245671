package workload

import (
	"sync"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/pillion-mesh/pillion/api/v1alpha1"
	"github.com/pillion-mesh/pillion/internal/inject"
	"github.com/pillion-mesh/pillion/internal/istio"
	"github.com/pillion-mesh/pillion/templates"
)

var operator = inject.Operator{Namespace: "pillion-system", Service: "pillion", ServicePort: 443, SidecarImage: "sidecar:1", Templates: templates.FS}

// programs of Injectors, each compiled once: what they say of workloads is no part of them.
var programs = map[string]func() (*inject.Program, error){
	"default": compiled("default", ""),
	"edited":  compiled("default", "sidecar:2"),
	"canary":  compiled("canary", ""),
}

func compiled(name, image string) func() (*inject.Program, error) {
	return sync.OnceValues(func() (program *inject.Program, err error) {
		inj := injector(name)
		inj.Spec.Proxy.Image = image
		v1alpha1.SetDefaults(inj)
		for range 5 { // templates have a time limit, which a busy machine may exceed
			if program, err = inject.Compile(inj, operator); err == nil {
				break
			}
		}
		return program, err
	})
}

// setOf serves some of programs.
func setOf(t testing.TB, names ...string) *inject.Set {
	t.Helper()
	var all []*inject.Program
	owned := map[string]string{}
	for _, name := range names {
		program, err := programs[name]()
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, program)
		owned[program.Injector()] = program.Injector()
	}
	return inject.NewSet(operator, all, owned)
}

func injector(name string) *v1alpha1.Injector {
	inj := &v1alpha1.Injector{ObjectMeta: metav1.ObjectMeta{Name: name, UID: types.UID("uid-" + name), Generation: 1}}
	inj.Spec.Revision = name
	return inj
}

var namespaces = map[string]inject.Namespace{
	"on":          {Labels: map[string]string{istio.LabelInjection: "enabled"}},
	"canary":      {Labels: map[string]string{istio.LabelRevision: "canary"}},
	"unknown":     {Labels: map[string]string{istio.LabelRevision: "nobody"}},
	"plain":       {},
	"kube-system": {Labels: map[string]string{istio.LabelInjection: "enabled"}},
}

func TestClassify(t *testing.T) {
	v := newView(setOf(t, "default", "canary"), namespaces)
	hash := v.set.Program("default").Hash()
	type text = map[string]string
	by := func(injector, hash string) text {
		return text{istio.AnnotationStatus: "", inject.AnnotationInjector: injector, inject.AnnotationInjectorHash: hash}
	}
	for _, c := range []struct {
		name, namespace     string
		labels, annotations text
		state               state
		injector            string
	}{
		{"has its sidecar", "on", nil, by("default", hash), stateInjected, "default"},
		{"has an old one", "on", nil, by("default", "0123456789ab"), stateStale, "default"},
		{"has one, though nobody asks any more", "plain", nil, by("default", hash), stateInjected, "default"},
		{"would get another revision's", "canary", nil, by("default", hash), stateStale, "canary"},
		{"has one of an Injector that is gone", "plain", nil, by("gone", hash), stateNone, ""},
		{"has one of an Injector that is gone, and would get another", "on", nil, by("gone", hash), stateStale, "default"},
		{"has another mesh's", "on", nil, text{istio.AnnotationStatus: ""}, stateNone, ""},
		{"has none in a namespace that asks", "on", nil, nil, stateCandidate, "default"},
		{"asks itself", "plain", text{istio.LabelInject: "true"}, nil, stateCandidate, "default"},
		{"asks for a revision", "plain", text{istio.LabelRevision: "canary"}, nil, stateCandidate, "canary"},
		{"doesn't ask", "plain", nil, nil, stateNone, ""},
		{"opted out", "on", text{istio.LabelInject: "false"}, nil, stateNone, ""},
		{"asks for a revision nobody has", "unknown", nil, nil, stateNone, ""},
		{"in a system namespace", "kube-system", text{istio.LabelInject: "true"}, nil, stateNone, ""},
		{"in the operator's", "pillion-system", text{istio.LabelInject: "true"}, nil, stateNone, ""},
		{"in a namespace too new to be known", "new", nil, nil, stateNone, ""},
	} {
		p := &metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{Namespace: c.namespace, Name: "p", Labels: c.labels, Annotations: c.annotations}}
		for range 2 { // the second time what is remembered answers
			if got := v.classify(p); got.state != c.state || got.injector != c.injector {
				t.Errorf("%s: %q of %q, want %q of %q", c.name, got.state, got.injector, c.state, c.injector)
			}
		}
		p.DeletionTimestamp = new(metav1.Now())
		if got := v.classify(p); got.state != stateNone {
			t.Errorf("%s, and ends: %q", c.name, got.state)
		}
	}
}

func TestReplaceable(t *testing.T) {
	yes := map[string]string{inject.AnnotationEvict: "true"}
	for _, c := range []struct {
		name, group, kind string
		annotations       map[string]string
		want              bool
	}{
		{"of a Deployment", "apps/v1", "ReplicaSet", nil, true},
		{"of a StatefulSet", "apps/v1", "StatefulSet", nil, true},
		{"of a DaemonSet", "apps/v1", "DaemonSet", nil, true},
		{"of a ReplicationController", "v1", "ReplicationController", nil, true},
		{"of a StatefulSet that is none", "apps.example.com/v1", "StatefulSet", nil, false},
		{"of a workflow", "example.com/v1", "Workflow", nil, false},
		{"of a workflow that makes it again", "example.com/v1", "Workflow", yes, true},
		{"of a Job", "batch/v1", "Job", nil, false},
		{"of a node", "v1", "Node", nil, false},
		{"of a node that is to", "v1", "Node", yes, false},
		{"of nobody", "", "", nil, false},
		{"of nobody that is to", "", "", yes, false},
		{"mirror", "apps/v1", "ReplicaSet", map[string]string{corev1.MirrorPodAnnotationKey: "x", inject.AnnotationEvict: "true"}, false},
		{"not to be evicted", "apps/v1", "ReplicaSet", map[string]string{inject.AnnotationEvict: "false"}, false},
		{"not to be evicted, in other words", "apps/v1", "ReplicaSet", map[string]string{inject.AnnotationEvict: "never"}, false},
		{"may be evicted", "apps/v1", "ReplicaSet", yes, true},
	} {
		p := &metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{Annotations: c.annotations}}
		if c.kind != "" {
			p.OwnerReferences = []metav1.OwnerReference{{APIVersion: c.group, Kind: c.kind, Name: "o", UID: "u", Controller: new(true)}}
		}
		if replaceable(p) != c.want {
			t.Errorf("pod %s: may be evicted is %t, want %t", c.name, !c.want, c.want)
		}
	}
}

func TestOwnersAndRemedies(t *testing.T) {
	for _, c := range []struct{ kind, name, hash, key, remedy string }{
		{"ReplicaSet", "web-5d4f", "5d4f", "shop/Deployment/web", "kubectl rollout restart Deployment/web -n shop"},
		{"ReplicaSet", "web", "", "shop/ReplicaSet/web", `have ReplicaSet "web" make the pod again`},
		{"StatefulSet", "db", "", "shop/StatefulSet/db", "kubectl rollout restart StatefulSet/db -n shop"},
		{"Job", "sum-29000000", "", "shop/CronJob/sum", `have CronJob "sum" make the pod again`},
		{"", "", "", "shop/Pod/p", "make the pod again"},
	} {
		p := &metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "p", Labels: map[string]string{"pod-template-hash": c.hash}}}
		if c.kind != "" {
			p.OwnerReferences = []metav1.OwnerReference{{Kind: c.kind, Name: c.name, UID: "u", Controller: new(true)}}
		}
		if ownerKey(p) != c.key || remedy(p) != c.remedy {
			t.Errorf("%s %s: owner %q, remedy %q; want %q, %q", c.kind, c.name, ownerKey(p), remedy(p), c.key, c.remedy)
		}
	}
}
