package workload

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/pillion-mesh/pillion/api/v1alpha1"
	"github.com/pillion-mesh/pillion/internal/controller/admission"
	"github.com/pillion-mesh/pillion/internal/controller/events"
	"github.com/pillion-mesh/pillion/internal/controller/workload"
	"github.com/pillion-mesh/pillion/internal/inject"
	"github.com/pillion-mesh/pillion/internal/istio"
	"github.com/pillion-mesh/pillion/test/cluster/testenv"
	"github.com/pillion-mesh/pillion/webhook"
)

// controlled is the controller on the real API server, looked at look by look.
type controlled struct {
	*env
	c        *workload.Controller
	informer client.Reader
	metrics  *prometheus.Registry

	mu   sync.Mutex
	now  time.Time
	set  *inject.Set
	told []events.Event
}

// inject makes this test's Injector, with its webhooks if they are to be there, and the controller, which is looked at
// look by look.
func (e *env) inject(settings v1alpha1.Workload, webhooks bool) *controlled {
	e.T.Helper()
	return e.injectAs(e.Cluster.Config, workload.Options{Hold: -1}, settings, webhooks)
}

// injectAs does so with the permissions of a config and the times of options: Now, Hold and Young.
func (e *env) injectAs(config *rest.Config, o workload.Options, settings v1alpha1.Workload, webhooks bool) *controlled {
	e.T.Helper()
	c := &controlled{env: e, metrics: prometheus.NewRegistry(), now: time.Now().Add(3 * time.Minute)} // every pod is old enough
	listener := e.Cluster.Listen(e.T)
	inj := &v1alpha1.Injector{ObjectMeta: metav1.ObjectMeta{Name: e.revision()}, Spec: v1alpha1.InjectorSpec{
		Revision: e.revision(), Workload: settings, Webhook: v1alpha1.Webhook{URL: "https://" + listener.Host}}}
	must(e.T, e.Client.Create(e.Ctx(), inj))
	e.T.Cleanup(func() { _ = e.Client.Delete(context.Background(), inj) })
	c.compile(inj)
	c.start(config, o)
	if webhooks {
		c.serve(listener, inj)
	}
	return c
}

// compile serves an Injector as it is now, and says that its webhooks are in order.
func (c *controlled) compile(inj *v1alpha1.Injector) {
	c.T.Helper()
	var program *inject.Program
	c.Eventually("the Injector compiles", func() (err error) { // templates have a time limit, which a busy machine may exceed
		program, err = inject.Compile(inj, operator)
		return err
	})
	c.mu.Lock()
	c.set = inject.NewSet(operator, []*inject.Program{program}, map[string]string{inj.Name: inj.Name})
	c.mu.Unlock()
	inj.Status.Conditions = nil
	for _, kind := range []string{v1alpha1.ConditionTemplatesReady, v1alpha1.ConditionWebhooksReady, v1alpha1.ConditionCertificatesReady} {
		inj.Status.Conditions = append(inj.Status.Conditions, metav1.Condition{Type: kind, Status: metav1.ConditionTrue, Reason: "Test",
			ObservedGeneration: inj.Generation, LastTransitionTime: metav1.Now()})
	}
	must(c.T, c.Client.Status().Update(c.Ctx(), inj))
}

func (c *controlled) current() *inject.Set {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.set
}

func (c *controlled) clock() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *controlled) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// start makes informers as the operator does, and the controller.
func (c *controlled) start(config *rest.Config, o workload.Options) {
	c.T.Helper()
	mgr, err := manager.New(config, manager.Options{Scheme: c.Client.Scheme(), Logger: logr.Discard(), Metrics: server.Options{BindAddress: "0"},
		Cache: cache.Options{ByObject: map[client.Object]cache.ByObject{&corev1.Pod{}: {Transform: workload.Trim, Field: workload.Unfinished()}}}})
	must(c.T, err)
	ctx, cancel := context.WithCancel(context.Background())
	var wait sync.WaitGroup
	wait.Go(func() { _ = mgr.Start(ctx) })
	c.T.Cleanup(func() { cancel(); wait.Wait() })
	c.informer = mgr.GetClient()
	o.Client, o.Live, o.Informers, o.Set = mgr.GetClient(), mgr.GetAPIReader(), mgr.GetCache(), c.current
	o.Record, o.Log, o.Metrics = c.record, logr.Discard(), c.metrics
	if o.Now == nil {
		o.Now = c.clock
	}
	c.c, err = workload.New(o)
	must(c.T, err)
}

func (c *controlled) record(e events.Event) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.told = append(c.told, e)
}

// serve answers the API server and returns when it calls.
func (c *controlled) serve(listener *testenv.Listener, inj *v1alpha1.Injector) {
	c.T.Helper()
	server := &http.Server{TLSConfig: listener.TLS, ReadHeaderTimeout: time.Minute, Handler: webhook.New(webhook.Options{
		Set: c.current, Namespaces: admission.Namespaces{Cache: c.Client, Live: c.Client}, Log: logr.Discard(), Metrics: webhook.NewMetrics(prometheus.NewRegistry())})}
	go func() { _ = server.ServeTLS(listener, "", "") }()
	c.T.Cleanup(func() { server.Close() })
	for _, configuration := range inject.Webhooks(inj, []string{inj.Name}, operator, listener.CA) {
		configuration.TypeMeta = metav1.TypeMeta{}
		must(c.T, c.Client.Create(c.Ctx(), &configuration))
		c.T.Cleanup(func() { _ = c.Client.Delete(context.Background(), &configuration) })
	}
	probe := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: c.namespace, Name: "probe", Labels: map[string]string{istio.LabelRevision: inj.Name}},
		Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "app", Image: "app:1"}}}}
	c.Eventually("the API server calls the webhook", func() error {
		made := probe.DeepCopy()
		if err := c.Client.Create(c.Ctx(), made, client.DryRunAll); err != nil {
			return err
		}
		if !hasSidecar(made) {
			return errors.New("a pod isn't injected")
		}
		return nil
	})
}

// look waits until the informer has every pod as it is now, then looks.
func (c *controlled) look() {
	c.T.Helper()
	c.Eventually("the informers are up to date", c.upToDate)
	_, err := c.c.Look(c.Ctx())
	must(c.T, err)
}

func (c *controlled) upToDate() error {
	live := map[string]string{}
	for i := range c.pods() {
		p := &c.pods()[i]
		live[p.Name] = p.ResourceVersion
	}
	known := &metav1.PartialObjectMetadataList{}
	known.SetGroupVersionKind(workload.PodObject().GroupVersionKind())
	if err := c.informer.List(c.Ctx(), known, client.InNamespace(c.namespace)); err != nil {
		return err
	}
	if len(known.Items) != len(live) {
		return fmt.Errorf("%d pods are known, there are %d", len(known.Items), len(live))
	}
	for i := range known.Items {
		if p := &known.Items[i]; live[p.Name] != p.ResourceVersion {
			return fmt.Errorf("pod %s is known at version %s, not %s", p.Name, p.ResourceVersion, live[p.Name])
		}
	}
	return c.sameInjectorAndNamespace()
}

func (c *controlled) sameInjectorAndNamespace() error {
	ns := admission.NamespaceObject()
	liveNS := ns.DeepCopy()
	inj, liveInj := &v1alpha1.Injector{}, &v1alpha1.Injector{}
	for _, pair := range []struct {
		known, live client.Object
		name        string
	}{{ns, liveNS, c.namespace}, {inj, liveInj, c.revision()}} {
		key := client.ObjectKey{Name: pair.name}
		if err := errors.Join(c.informer.Get(c.Ctx(), key, pair.known), c.Client.Get(c.Ctx(), key, pair.live)); err != nil {
			return err
		}
		if pair.known.GetResourceVersion() != pair.live.GetResourceVersion() {
			return fmt.Errorf("%s is known at version %s, not %s", pair.name, pair.known.GetResourceVersion(), pair.live.GetResourceVersion())
		}
	}
	return nil
}

// metric is one sample's value; -1 if there is none.
func (c *controlled) metric(name, label, value string) float64 {
	c.T.Helper()
	families, err := c.metrics.Gather()
	must(c.T, err)
	for _, family := range families {
		for _, m := range family.GetMetric() {
			for _, l := range m.GetLabel() {
				if family.GetName() == name && l.GetName() == label && l.GetValue() == value {
					return m.GetCounter().GetValue() + m.GetGauge().GetValue()
				}
			}
		}
	}
	return -1
}

func (c *controlled) evictions(result string) float64 {
	return c.metric("pillion_workload_evictions_total", "result", result)
}

// counts are the Injector's status.
func (e *env) counts() v1alpha1.PodCounts {
	e.T.Helper()
	inj := &v1alpha1.Injector{}
	must(e.T, e.Client.Get(e.Ctx(), client.ObjectKey{Name: e.revision()}, inj))
	if inj.Status.Pods == nil {
		return v1alpha1.PodCounts{Injected: -1}
	}
	return *inj.Status.Pods
}
