package workload

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/pillion-mesh/pillion/api/v1alpha1"
	"github.com/pillion-mesh/pillion/internal/controller/events"
	"github.com/pillion-mesh/pillion/internal/inject"
)

// world is a fake API server with the controller on it, and a clock.
type world struct {
	t       *testing.T
	api     client.WithWatch
	c       *Controller
	set     *inject.Set
	now     time.Time
	told    []events.Event
	made    int
	gets    int      // of whole pods
	posted  []string // evictions: pods
	refuse  error    // every eviction
	unread  error    // every read of a whole pod
	closed  error    // every read of an owner
	hold    time.Duration
	replace func(old *corev1.Pod) *corev1.Pod
}

// newWorld has the namespaces of the classification tests and the Injectors given, whose webhooks work.
func newWorld(t *testing.T, injectors ...*v1alpha1.Injector) *world {
	t.Helper()
	scheme := runtime.NewScheme()
	if err := errors.Join(clientgoscheme.AddToScheme(scheme), v1alpha1.AddToScheme(scheme)); err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, now: noon, hold: -1}
	b := fake.NewClientBuilder().WithScheme(scheme).WithStatusSubresource(&v1alpha1.Injector{}, &corev1.Pod{}).WithReturnManagedFields().
		WithInterceptorFuncs(interceptor.Funcs{Get: w.get, SubResourceCreate: w.evict})
	b = b.WithObjects(&discoveryv1.EndpointSlice{ObjectMeta: metav1.ObjectMeta{Namespace: operator.Namespace, Name: "pillion-1",
		Labels: map[string]string{discoveryv1.LabelServiceName: operator.Service}}, Endpoints: []discoveryv1.Endpoint{{Addresses: []string{"192.0.2.1"}}}})
	for name, ns := range namespaces {
		b = b.WithObjects(&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: ns.Labels}})
	}
	var names []string
	for _, inj := range injectors {
		names = append(names, inj.Name)
		for _, kind := range needed {
			inj.Status.Conditions = append(inj.Status.Conditions, metav1.Condition{Type: kind, Status: metav1.ConditionTrue, Reason: "Good", ObservedGeneration: inj.Generation, LastTransitionTime: metav1.NewTime(noon)})
		}
		b = b.WithObjects(inj)
	}
	w.api, w.set = b.Build(), setOf(t, names...)
	w.restart()
	return w
}

// restart is a new leader: it remembers nothing, and begins at once if the world doesn't say otherwise.
func (w *world) restart() {
	w.t.Helper()
	c, err := New(Options{Client: w.api, Live: w.api, Set: func() *inject.Set { return w.set }, Now: func() time.Time { return w.now },
		Record: func(e events.Event) { w.told = append(w.told, e) }, Log: logr.Discard(), Metrics: prometheus.NewRegistry(), Hold: w.hold})
	w.must(err)
	w.c = c
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) get(ctx context.Context, c client.WithWatch, key client.ObjectKey, o client.Object, opts ...client.GetOption) error {
	if _, whole := o.(*corev1.Pod); whole {
		if w.gets++; w.unread != nil {
			return w.unread
		}
	}
	if _, owner := o.(*unstructured.Unstructured); owner && w.closed != nil {
		return w.closed
	}
	return c.Get(ctx, key, o, opts...)
}

// evict is the API server's part: it holds the preconditions and has the owner make another pod.
func (w *world) evict(ctx context.Context, c client.Client, subresource string, o, sub client.Object, opts ...client.SubResourceCreateOption) error {
	eviction, ok := sub.(*policyv1.Eviction)
	if !ok || subresource != "eviction" {
		return fmt.Errorf("%s of a %T", subresource, sub)
	}
	pod := &corev1.Pod{}
	if err := c.Get(ctx, client.ObjectKeyFromObject(eviction), pod); err != nil {
		return err
	}
	if pre := eviction.DeleteOptions.Preconditions; *pre.UID != pod.UID || *pre.ResourceVersion != pod.ResourceVersion {
		return fmt.Errorf("preconditions %s %s don't hold for pod %s", *pre.UID, *pre.ResourceVersion, pod.Name)
	}
	w.posted = append(w.posted, pod.Name)
	if w.refuse != nil {
		return w.refuse
	}
	if err := c.Delete(ctx, pod); err != nil {
		return err
	}
	if w.replace != nil {
		w.add(w.replace(pod))
	}
	return nil
}

// pod is one of an owner, as old as the clock says, without a sidecar.
func (w *world) pod(namespace, kind, owner string, change ...func(*corev1.Pod)) *corev1.Pod {
	w.made++
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: fmt.Sprintf("%s-%d", owner, w.made), UID: types.UID(fmt.Sprintf("pod-%d", w.made)),
		CreationTimestamp: metav1.NewTime(w.now), Labels: map[string]string{"pod-template-hash": "abc"}, Annotations: map[string]string{}},
		Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "app", Image: "app:1"}}}}
	if kind != "" {
		p.OwnerReferences = []metav1.OwnerReference{{APIVersion: "apps/v1", Kind: kind, Name: owner, UID: types.UID("owner-" + owner), Controller: new(true)}}
	}
	for _, c := range change {
		c(p)
	}
	return p
}

// owner is a ReplicaSet that pods name.
func (w *world) owner(name string) {
	w.t.Helper()
	set := &appsv1.ReplicaSet{ObjectMeta: metav1.ObjectMeta{Namespace: "on", Name: name, UID: types.UID("owner-" + name)}, Spec: appsv1.ReplicaSetSpec{Replicas: new(int32(1))}}
	w.must(client.IgnoreAlreadyExists(w.api.Create(context.Background(), set)))
}

// injected gives a pod the sidecar it would get now.
func (w *world) injected(p *corev1.Pod) {
	w.t.Helper()
	text, err := json.Marshal(p)
	w.must(err)
	r := w.set.Inject(context.Background(), inject.Request{Namespace: newView(w.set, namespaces).namespace(p.Namespace), Pod: text})
	if r.Outcome != inject.OutcomeInject {
		w.t.Fatalf("pod %s isn't injected: %s", p.Name, r.Message())
	}
	w.must(json.Unmarshal(r.Pod(), p))
}

func nowReady(p *corev1.Pod) {
	p.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}
}

func old(p *corev1.Pod) { p.Annotations[inject.AnnotationInjectorHash] = "0123456789ab" }

func (w *world) add(p *corev1.Pod) *corev1.Pod {
	w.t.Helper()
	w.must(w.api.Create(context.Background(), p))
	return p
}

// pass lets time go by and looks.
func (w *world) pass(d time.Duration) {
	w.t.Helper()
	w.now = w.now.Add(d)
	_, err := w.c.Look(context.Background())
	w.must(err)
}

func (w *world) status(name string) *v1alpha1.PodCounts {
	w.t.Helper()
	inj := &v1alpha1.Injector{}
	w.must(w.api.Get(context.Background(), client.ObjectKey{Name: name}, inj))
	return inj.Status.Pods
}

func (w *world) reasons() []string {
	var all []string
	for _, e := range w.told {
		all = append(all, e.Reason+" "+e.Object.Kind+"/"+e.Object.Name)
	}
	slices.Sort(all)
	return all
}

func (w *world) evictions(r result) float64 {
	return testutil.ToFloat64(w.c.metrics.evictions.WithLabelValues(string(r)))
}

func objectKey(name string) client.ObjectKey { return client.ObjectKey{Name: name} }
