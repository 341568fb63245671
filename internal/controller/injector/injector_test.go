package injector

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/pillion-mesh/pillion/api/v1alpha1"
	"github.com/pillion-mesh/pillion/internal/controller/events"
	"github.com/pillion-mesh/pillion/internal/inject"
	"github.com/pillion-mesh/pillion/templates"
)

// world is a fake API server with one controller on it.
type world struct {
	t      *testing.T
	api    client.Client
	c      *Controller
	now    time.Time
	told   []events.Event
	fault  error // of every write of a webhook configuration
	bundle []byte

	options Options // of the next process
}

func newWorld(t *testing.T, injectors ...*v1alpha1.Injector) *world {
	t.Helper()
	scheme := runtime.NewScheme()
	if err := errors.Join(clientgoscheme.AddToScheme(scheme), v1alpha1.AddToScheme(scheme)); err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, now: time.Unix(1000, 0), bundle: []byte("CA")}
	b := fake.NewClientBuilder().WithScheme(scheme).WithStatusSubresource(&v1alpha1.Injector{}).WithReturnManagedFields().
		WithInterceptorFuncs(interceptor.Funcs{Apply: func(ctx context.Context, c client.WithWatch, o runtime.ApplyConfiguration, opts ...client.ApplyOption) error {
			if w.fault != nil {
				return w.fault
			}
			return c.Apply(ctx, o, opts...)
		}})
	for _, inj := range injectors {
		b = b.WithObjects(inj)
	}
	w.api = b.Build()
	w.restart()
	return w
}

// restart is a new process: it remembers nothing.
func (w *world) restart() {
	w.t.Helper()
	o := Options{Client: w.api, Live: w.api, Metadata: w.api, Bundle: func() []byte { return w.bundle }, Now: func() time.Time { return w.now },
		Operator: inject.Operator{Namespace: "pillion-system", Service: "pillion", ServicePort: 443, SidecarImage: "sidecar:1", Templates: templates.FS},
		Trusted:  func(context.Context, string) error { return nil },
		Record:   func(e events.Event) { w.told = append(w.told, e) }, Log: logr.Discard(), Metrics: prometheus.NewRegistry()}
	o.Revisions = w.options.Revisions
	c, err := New(o)
	if err != nil {
		w.t.Fatal(err)
	}
	w.c = c
}

// reconcile is both halves, one after the other.
func (w *world) reconcile(name string) error {
	w.t.Helper()
	_, compiling := w.c.compile(context.Background(), request("all"))
	_, writing := w.c.Reconcile(context.Background(), request(name))
	return errors.Join(compiling, writing)
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) get(name string) *v1alpha1.Injector {
	w.t.Helper()
	inj := &v1alpha1.Injector{}
	w.must(w.api.Get(context.Background(), client.ObjectKey{Name: name}, inj))
	return inj
}

// edit changes an Injector as a user would; the fake API server doesn't count generations.
func (w *world) edit(name string, change func(*v1alpha1.Injector)) {
	w.t.Helper()
	inj := w.get(name)
	change(inj)
	inj.Generation++
	w.must(w.api.Update(context.Background(), inj))
}

func (w *world) configuration(name string) (*admissionv1.MutatingWebhookConfiguration, error) {
	c := &admissionv1.MutatingWebhookConfiguration{}
	return c, w.api.Get(context.Background(), client.ObjectKey{Name: name}, c)
}

func (w *world) condition(inj, kind string) metav1.Condition {
	w.t.Helper()
	c := meta.FindStatusCondition(w.get(inj).Status.Conditions, kind)
	if c == nil {
		w.t.Fatalf("Injector %s has no condition %s", inj, kind)
	}
	return *c
}

func made(name, revision string, second int64) *v1alpha1.Injector {
	return &v1alpha1.Injector{ObjectMeta: metav1.ObjectMeta{Name: name, Generation: 1, CreationTimestamp: metav1.Unix(second, 0)},
		Spec: v1alpha1.InjectorSpec{Revision: revision}}
}

func broken(i *v1alpha1.Injector) {
	i.Spec.Templates = []v1alpha1.Template{{Name: "mark", Inline: "metadata:\n  labels:\n    a: ${pod.nmae}\n"}}
	i.Spec.DefaultTemplates = []string{"sidecar", "mark"}
}

func TestReconcileWritesAndSaysSo(t *testing.T) {
	inj := made("default", "default", 1)
	inj.UID = "u1"
	w := newWorld(t, inj)
	w.must(w.reconcile("default"))
	live, err := w.configuration("pillion-injector-default")
	w.must(err)
	if len(live.OwnerReferences) != 1 || live.OwnerReferences[0].UID != "u1" || string(live.Webhooks[0].ClientConfig.CABundle) != "CA" {
		t.Errorf("written: %+v", live)
	}
	for _, kind := range []string{v1alpha1.ConditionAccepted, v1alpha1.ConditionTemplatesReady, v1alpha1.ConditionWebhooksReady, v1alpha1.ConditionCertificatesReady} {
		if c := w.condition("default", kind); c.Status != metav1.ConditionTrue || c.ObservedGeneration != 1 {
			t.Errorf("%s: %+v", kind, c)
		}
	}
	if s := w.get("default").Status; s.ObservedGeneration != 1 || len(s.Hash) != 12 || len(s.Webhooks) != 1 {
		t.Errorf("status: %+v", s)
	}
	if len(w.told) != 0 {
		t.Errorf("Events about nothing: %+v", w.told)
	}
}

func TestNoEmptyCABundleIsEverWritten(t *testing.T) {
	w := newWorld(t, made("default", "default", 1))
	w.bundle = nil
	w.must(w.reconcile("default"))
	if _, err := w.configuration("pillion-injector-default"); !apierrors.IsNotFound(err) {
		t.Errorf("written without a caBundle (%v)", err)
	}
	if c := w.condition("default", v1alpha1.ConditionWebhooksReady); c.Reason != "Pending" {
		t.Errorf("%+v", c)
	}
}

// TestBundleGoesInTheMiddle of a pass: what was left out is made up for soon, since a rotation waits for it.
func TestBundleGoesInTheMiddle(t *testing.T) {
	w := newWorld(t, made("default", "default", 1))
	w.c.ValidationPath = "/validate"
	w.c.CRD = func(context.Context) (types.UID, error) { return "crd", nil }
	w.c.Bundle = func() []byte { // the next asks in vain
		now := w.bundle
		w.bundle = nil
		return now
	}
	_, err := w.c.compile(t.Context(), request("all"))
	w.must(err)
	result, err := w.c.Reconcile(t.Context(), request("default"))
	w.must(err)
	if _, err := w.configuration("pillion-injector-default"); err != nil || result.RequeueAfter > time.Second {
		t.Errorf("it looks again in %s, %v", result.RequeueAfter, err)
	}
}

func TestANewCABundleIsNoRepair(t *testing.T) {
	w := newWorld(t, made("default", "default", 1))
	w.must(w.reconcile("default"))
	w.bundle = []byte("CA 2")
	w.must(w.reconcile("default"))
	live, err := w.configuration("pillion-injector-default")
	w.must(err)
	if string(live.Webhooks[0].ClientConfig.CABundle) != "CA 2" || len(w.told) != 0 {
		t.Errorf("caBundle %q, Events %+v", live.Webhooks[0].ClientConfig.CABundle, w.told)
	}
}

func TestLastGoodOutlivesTheProcess(t *testing.T) {
	inj := made("default", "default", 1)
	inj.UID = "u1"
	w := newWorld(t, inj)
	w.must(w.reconcile("default"))
	hash := w.get("default").Status.Hash
	w.edit("default", broken)
	for range 2 {
		w.must(w.reconcile("default"))
		compiled := w.c.Compiler.State().Injectors["default"]
		if compiled.Program == nil || compiled.Program.Hash() != hash || !compiled.Previous() {
			t.Fatalf("in use: %+v", compiled)
		}
		if c := w.condition("default", v1alpha1.ConditionTemplatesReady); c.Reason != "CompileError" || !strings.Contains(c.Message, `template "mark" line 3`) {
			t.Errorf("%+v", c)
		}
		if v := testutil.ToFloat64(w.c.metrics.ready.WithLabelValues("default")); v != 0 {
			t.Errorf("pillion_injector_templates_ready is %v", v)
		}
		w.must(w.c.Compiler.Ready())
		w.restart()
	}
}

func TestLastGoodOfAnotherObjectIsNotTaken(t *testing.T) {
	inj := made("default", "default", 1)
	inj.UID = "u1"
	w := newWorld(t, inj)
	w.must(w.reconcile("default"))
	w.must(w.api.Delete(context.Background(), w.get("default")))
	again := made("default", "default", 2)
	again.UID = "u2"
	broken(again)
	w.must(w.api.Create(context.Background(), again))
	w.must(w.reconcile("default"))
	if compiled := w.c.Compiler.State().Injectors["default"]; compiled.Program != nil {
		t.Error("a new Injector injects what a deleted one said")
	}
	if err := w.c.Compiler.Ready(); err == nil {
		t.Error("ready although nothing can be injected")
	}
}

func TestYoungerInjectorLosesTheName(t *testing.T) {
	w := newWorld(t, made("default", "default", 1), made("younger", "default", 2))
	w.must(w.reconcile("younger"))
	w.must(w.reconcile("default"))
	if c := w.condition("younger", v1alpha1.ConditionAccepted); c.Reason != "NameTaken" || !strings.Contains(c.Message, `"default"`) {
		t.Errorf("%+v", c)
	}
	live, err := w.configuration("pillion-injector-default")
	w.must(err)
	if live.Labels[inject.LabelInjector] != "default" {
		t.Errorf("rendered from %q", live.Labels[inject.LabelInjector])
	}
	w.must(w.api.Delete(context.Background(), w.get("default")))
	w.must(w.reconcile("default")) // the name isn't free for a moment: it is the younger's now
	w.must(w.reconcile("younger"))
	if live, err = w.configuration("pillion-injector-default"); err != nil || live.Labels[inject.LabelInjector] != "younger" {
		t.Errorf("after the older went: %v, %v", live.Labels, err)
	}
}

// TestMetricsForgetConfigurations: what the API server's garbage collector deletes, we never delete ourselves.
func TestMetricsForgetConfigurations(t *testing.T) {
	w := newWorld(t, made("default", "default", 1), made("canary", "canary", 2))
	w.must(w.reconcile("default"))
	w.must(w.reconcile("canary"))
	live, err := w.configuration("pillion-injector-canary")
	w.must(err)
	w.must(w.api.Delete(context.Background(), live))
	w.must(w.reconcile("canary"))
	if n := testutil.CollectAndCount(w.c.metrics.repairs); n != 1 {
		t.Fatalf("pillion_webhook_repairs_total has %d series after one repair", n)
	}
	live, err = w.configuration("pillion-injector-canary")
	w.must(err)
	w.must(errors.Join(w.api.Delete(context.Background(), live), w.api.Delete(context.Background(), w.get("canary"))))
	w.must(w.reconcile("canary"))
	if n := testutil.CollectAndCount(w.c.metrics.repairs); n != 0 {
		t.Errorf("pillion_webhook_repairs_total still has %d series", n)
	}
	if n := testutil.CollectAndCount(w.c.metrics.inSync); n != 1 {
		t.Errorf("pillion_webhook_in_sync has %d series, want that of default", n)
	}
}

func TestFailedWriteIsSaidAndRetried(t *testing.T) {
	w := newWorld(t, made("default", "default", 1))
	w.fault = apierrors.NewInternalError(errors.New("etcd is away"))
	w.c.Trusted = func(context.Context, string) error { return errors.New("its caBundle is of yesterday") }
	if err := w.reconcile("default"); err == nil || !strings.Contains(err.Error(), "pillion-injector-default") {
		t.Errorf("error %v doesn't name the object", err)
	}
	if c := w.condition("default", v1alpha1.ConditionWebhooksReady); c.Reason != reasonWriteFailed || !strings.Contains(c.Message, "etcd is away") {
		t.Errorf("%+v; want %s and why", c, reasonWriteFailed)
	}
	if err := (&Installed{Live: w.api, Now: time.Now}).Ready(context.Background()); err != nil {
		t.Errorf("a new replica waits for what can't be written: %v", err)
	}
	if c := w.condition("default", v1alpha1.ConditionCertificatesReady); c.Reason != reasonNotTrusted {
		t.Errorf("%+v; want %s: what can't be written can't be verified either", c, reasonNotTrusted)
	}
	w.fault = nil
	w.must(w.reconcile("default"))
	if c := w.condition("default", v1alpha1.ConditionWebhooksReady); c.Status != metav1.ConditionTrue {
		t.Errorf("%+v", c)
	}
}

func TestDefaultInjector(t *testing.T) {
	ctx := context.Background()
	w := newWorld(t)
	crd := types.UID("crd-1")
	installed := func(context.Context) (types.UID, error) { return crd, nil }
	d := DefaultInjector{Client: w.api, Live: w.api, CRD: installed, Namespace: "pillion-system", Log: logr.Discard()}
	w.must(d.Ensure(ctx))
	w.must(d.Ensure(ctx))
	w.must(w.api.Delete(ctx, w.get("default")))
	w.must(d.Ensure(ctx))
	var list v1alpha1.InjectorList
	w.must(w.api.List(ctx, &list))
	if len(list.Items) != 0 {
		t.Error("it came back after it was deleted")
	}
	crd = "" // uninstalled
	w.must(d.Ensure(ctx))
	crd = "crd-2" // and installed again
	w.must(d.Ensure(ctx))
	w.get("default")

	w = newWorld(t, made("mine", "mine", 1))
	d = DefaultInjector{Client: w.api, Live: w.api, CRD: installed, Namespace: "pillion-system", Log: logr.Discard()}
	w.must(d.Ensure(ctx))
	w.must(w.api.List(ctx, &list))
	if len(list.Items) != 1 {
		t.Error("it was made although there is an Injector")
	}
}

// A rollout has to end only when what is deployed next would be injected.
func TestInstalled(t *testing.T) {
	ctx := context.Background()
	w := newWorld(t)
	d := DefaultInjector{Client: w.api, Live: w.api, CRD: func(context.Context) (types.UID, error) { return "crd", nil },
		Namespace: "pillion-system", Log: logr.Discard()}
	check := &Installed{Live: w.api, Made: d.Made, Now: func() time.Time { return w.now }, Log: logr.Discard()}
	wants := func(state, want string) {
		t.Helper()
		switch err := check.Ready(ctx); {
		case want == "" && err != nil:
			t.Errorf("%s: %v; want ready", state, err)
		case want != "" && (err == nil || !strings.Contains(err.Error(), want)):
			t.Errorf("%s: %v; want an error with %q", state, err, want)
		}
	}
	wants("nothing there", "isn't made yet")
	w.must(d.Ensure(ctx))
	wants("no status", "aren't written yet")
	inj := w.get("default")
	inj.Status.Conditions = []metav1.Condition{condition(v1alpha1.ConditionWebhooksReady, false, reasonPending, "")}
	w.must(w.api.Status().Update(ctx, inj))
	wants("no certificate yet", "aren't written yet")
	inj.Status.Conditions = append(inj.Status.Conditions, condition(v1alpha1.ConditionTemplatesReady, false, reasonCompileError, ""))
	w.must(w.api.Status().Update(ctx, inj))
	wants("it will never have any", "")
	inj.Status.Conditions = nil
	w.must(w.api.Status().Update(ctx, inj))
	wants("what came later", "")

	w.must(w.api.Delete(ctx, inj))
	check = &Installed{Live: w.api, Made: d.Made, Now: check.Now, Log: check.Log}
	wants("deleted by the user", "")
}

// TestInstalledWaitsAMinute: a status that nobody may write says nothing for ever.
func TestInstalledWaitsAMinute(t *testing.T) {
	w := newWorld(t, made("default", "default", 1))
	check := &Installed{Live: w.api, Now: func() time.Time { return w.now }, Log: logr.Discard()}
	for _, row := range []struct {
		after time.Duration
		ready bool
	}{{0, false}, {59 * time.Second, false}, {time.Second, true}, {-30 * time.Second, true}} {
		w.now = w.now.Add(row.after)
		if err := check.Ready(context.Background()); (err == nil) != row.ready {
			t.Errorf("%s later: %v, want ready %t", row.after, err, row.ready)
		}
	}
}

func TestPokeNeverBlocks(t *testing.T) {
	w := newWorld(t)
	for range 10 {
		w.c.Poke()
	}
}

// TestAnnouncementsWaitForInjectors: what a process does to its CA at its start comes before it has read an Injector.
func TestAnnouncementsWaitForInjectors(t *testing.T) {
	w := newWorld(t, made("default", "default", 1))
	for range 20 { // more than are kept: nothing blocks
		w.c.Announce("Warning", "ServingCARecovered", "a new one is in place")
	}
	w.must(w.reconcile("default"))
	told := 0
	for _, e := range w.told {
		if e.Reason == "ServingCARecovered" && e.Object.Name == "default" {
			told++
		}
	}
	if told == 0 || told > 8 {
		t.Errorf("%d Events of what was announced before the first reconcile, want some and at most 8", told)
	}
	w.must(w.reconcile("default"))
	if again := len(w.told); again > told+8 {
		t.Errorf("%d Events after a second reconcile: announcements were told twice", again)
	}
}
