package degrade

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/pillion-mesh/pillion/api/v1alpha1"
	"github.com/pillion-mesh/pillion/internal/controller/events"
	"github.com/pillion-mesh/pillion/internal/inject"
)

// world is a fake API server with one Injector, its webhook configurations and the operator's endpoints.
type world struct {
	t    *testing.T
	api  client.Client
	c    *Controller
	now  time.Time
	told []string
}

func newWorld(t *testing.T, change func(*v1alpha1.Injector)) *world {
	t.Helper()
	inj := &v1alpha1.Injector{ObjectMeta: metav1.ObjectMeta{Name: "default", Generation: 1}}
	inj.Spec.Tags = []string{"prod"}
	inj.Spec.Degrade.Mode = v1alpha1.DegradeIgnore
	change(inj)
	scheme := runtime.NewScheme()
	if err := errors.Join(clientgoscheme.AddToScheme(scheme), v1alpha1.AddToScheme(scheme)); err != nil {
		t.Fatal(err)
	}
	b := fake.NewClientBuilder().WithScheme(scheme).WithStatusSubresource(inj).WithObjects(inj)
	op := inject.Operator{Namespace: "pillion-system", Service: "pillion", ServicePort: 443}
	for _, c := range inject.Webhooks(inj, inj.Names(), op, []byte("CA")) {
		b = b.WithObjects(&c)
	}
	w := &world{t: t, api: b.Build(), now: time.Unix(1000, 0)}
	w.restart()
	return w
}

// restart is a new process: it remembers nothing.
func (w *world) restart() {
	w.t.Helper()
	c, err := New(Options{Client: w.api, Live: w.api, Namespace: "pillion-system", Service: "pillion", PodName: "a", Status: true,
		Serves: func(*v1alpha1.Injector) bool { return true }, Now: func() time.Time { return w.now }, Log: logr.Discard(),
		Record: func(e events.Event) { w.told = append(w.told, e.Reason) }, Metrics: prometheus.NewRegistry()})
	w.must(err)
	w.c = c
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// endpoints are the ready pods; a pod with a minus isn't ready.
func (w *world) endpoints(pods ...string) {
	w.t.Helper()
	slice := &discoveryv1.EndpointSlice{ObjectMeta: metav1.ObjectMeta{Name: "pillion-x", Namespace: "pillion-system",
		Labels: map[string]string{discoveryv1.LabelServiceName: "pillion"}}, AddressType: discoveryv1.AddressTypeIPv4}
	for _, pod := range pods {
		name, unready := strings.CutPrefix(pod, "-")
		slice.Endpoints = append(slice.Endpoints, discoveryv1.Endpoint{Addresses: []string{"10.0.0.1"},
			Conditions: discoveryv1.EndpointConditions{Ready: new(!unready)}, TargetRef: &corev1.ObjectReference{Kind: "Pod", Name: name}})
	}
	w.must(client.IgnoreNotFound(w.api.Delete(context.Background(), slice.DeepCopy())))
	w.must(w.api.Create(context.Background(), slice))
}

// after lets time pass and looks, then wants every entry to have that policy.
func (w *world) after(d time.Duration, want admissionv1.FailurePolicyType) {
	w.t.Helper()
	w.now = w.now.Add(d)
	w.must(w.c.Step(context.Background()))
	w.is(want)
}

func (w *world) is(want admissionv1.FailurePolicyType) {
	w.t.Helper()
	var all admissionv1.MutatingWebhookConfigurationList
	w.must(w.api.List(context.Background(), &all))
	if len(all.Items) != 2 {
		w.t.Fatalf("%d webhook configurations, want those of default and prod", len(all.Items))
	}
	for _, c := range all.Items {
		if Degraded(&c) != (want == admissionv1.Ignore) {
			w.t.Errorf("%s: annotations %v with failurePolicy %s", c.Name, c.Annotations, want)
		}
		for _, entry := range c.Webhooks {
			if *entry.FailurePolicy != want {
				w.t.Errorf("%s of %s: failurePolicy %s, want %s", entry.Name, c.Name, *entry.FailurePolicy, want)
			}
		}
	}
	inj := &v1alpha1.Injector{}
	w.must(w.api.Get(context.Background(), client.ObjectKey{Name: "default"}, inj))
	if got := meta.IsStatusConditionTrue(inj.Status.Conditions, v1alpha1.ConditionDegraded); got != (want == admissionv1.Ignore) {
		w.t.Errorf("condition Degraded is %t with failurePolicy %s", got, want)
	}
}

func times(after, restore time.Duration) func(*v1alpha1.Injector) {
	return func(i *v1alpha1.Injector) {
		i.Spec.Degrade.After.Duration, i.Spec.Degrade.RestoreAfter.Duration = after, restore
	}
}

func TestDegradeAndRestore(t *testing.T) {
	w := newWorld(t, times(10*time.Second, 30*time.Second))
	w.endpoints("a", "b")
	w.after(0, "Fail")
	w.endpoints("a", "-b")
	w.after(time.Hour, "Fail")
	w.endpoints("-a", "-b")
	w.after(0, "Fail")
	w.after(9*time.Second, "Fail")
	w.endpoints("-a", "b") // it came back in time
	w.after(0, "Fail")
	w.endpoints("-a")
	w.after(time.Minute, "Fail") // the spell begins anew
	w.after(10*time.Second, "Ignore")
	w.after(time.Hour, "Ignore")
	if v := testutil.ToFloat64(w.c.metric.WithLabelValues("default")); v != 1 {
		t.Errorf("pillion_injector_degraded is %v", v)
	}
	w.restart() // what was done is in the object
	w.endpoints("c")
	w.after(0, "Ignore")
	w.after(29*time.Second, "Ignore")
	w.endpoints()
	w.after(0, "Ignore")
	w.endpoints("c")
	w.after(29*time.Second, "Ignore")
	w.after(30*time.Second, "Fail")
	if got := strings.Join(w.told, " "); got != "Degraded Restored" {
		t.Errorf("Events %q, want one each", got)
	}
	if v := testutil.ToFloat64(w.c.metric.WithLabelValues("default")); v != 0 {
		t.Errorf("pillion_injector_degraded is %v", v)
	}
}

func TestOnlyWhoAsksIsDegraded(t *testing.T) {
	for _, row := range []struct {
		name   string
		change func(*v1alpha1.Injector)
		policy admissionv1.FailurePolicyType
		reason string
	}{
		{"never", func(i *v1alpha1.Injector) { i.Spec.Degrade.Mode = v1alpha1.DegradeNever }, "Fail", "Never"},
		{"a URL", func(i *v1alpha1.Injector) { i.Spec.Webhook.URL = "https://elsewhere" }, "Fail", "NotWatched"},
		{"another Service", func(i *v1alpha1.Injector) {
			i.Spec.Webhook.Service = &v1alpha1.WebhookService{Namespace: "mesh", Name: "pillion"}
		}, "Fail", "NotWatched"},
	} {
		t.Run(row.name, func(t *testing.T) {
			w := newWorld(t, row.change)
			w.after(0, row.policy)
			w.after(time.Hour, row.policy)
			inj := &v1alpha1.Injector{}
			w.must(w.api.Get(context.Background(), client.ObjectKey{Name: "default"}, inj))
			if c := meta.FindStatusCondition(inj.Status.Conditions, v1alpha1.ConditionDegraded); c == nil || c.Reason != row.reason {
				t.Errorf("condition %+v, want reason %s", c, row.reason)
			}
		})
	}
}

func TestSwitchedOffWhileDegraded(t *testing.T) {
	w := newWorld(t, times(time.Second, time.Hour))
	w.after(0, "Fail")
	w.after(time.Second, "Ignore")
	inj := &v1alpha1.Injector{}
	w.must(w.api.Get(context.Background(), client.ObjectKey{Name: "default"}, inj))
	inj.Spec.Degrade.Mode = v1alpha1.DegradeNever
	w.must(w.api.Update(context.Background(), inj))
	w.after(0, "Fail")
}

func TestFarewell(t *testing.T) {
	for _, row := range []struct {
		name string
		pods []string
		want admissionv1.FailurePolicyType
	}{
		{"the last", []string{"a"}, "Ignore"},
		{"the last that is ready", []string{"a", "-b"}, "Ignore"},
		{"itself gone already", []string{"-a"}, "Ignore"},
		{"another is ready", []string{"a", "b"}, "Fail"},
	} {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { // where ten seconds take no time
				w := newWorld(t, times(time.Hour, time.Hour))
				w.endpoints(row.pods...)
				ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
				defer cancel()
				w.c.Farewell(ctx)
				if row.want == "Fail" {
					w.after(0, row.want) // for the condition
				}
				w.is(row.want)
			})
		})
	}
}

// TestFarewellLooksTwice: in a rollout the new replica may become ready just after the first look.
func TestFarewellLooksTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, times(time.Hour, time.Hour))
		w.endpoints("-a", "-b")
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		var wait sync.WaitGroup
		wait.Go(func() { w.c.Farewell(ctx) })
		time.Sleep(look / 2)
		w.endpoints("-a", "b")
		wait.Wait()
		w.after(0, "Fail")
	})
}

// TestOthersConfigurationIsLeftAlone: everybody can set a label.
func TestOthersConfigurationIsLeftAlone(t *testing.T) {
	w := newWorld(t, times(time.Second, time.Second))
	theirs := &admissionv1.MutatingWebhookConfiguration{ObjectMeta: metav1.ObjectMeta{Name: "somebody-elses", Labels: map[string]string{inject.LabelInjector: "default"}},
		Webhooks: []admissionv1.MutatingWebhook{{Name: "x.example.com"}}}
	w.must(w.api.Create(context.Background(), theirs))
	w.must(w.c.Step(context.Background()))
	w.now = w.now.Add(time.Second)
	w.must(w.c.Step(context.Background()))
	w.must(w.api.Get(context.Background(), client.ObjectKeyFromObject(theirs), theirs))
	if len(theirs.Annotations) > 0 || theirs.Webhooks[0].FailurePolicy != nil {
		t.Errorf("somebody else's configuration was written: %+v", theirs)
	}
	w.must(w.api.Delete(context.Background(), theirs))
	w.is("Ignore")
}

// TestDeniedWritesAreTriedLessAndLess: and as soon as they are allowed, done within a minute.
func TestDeniedWritesAreTriedLessAndLess(t *testing.T) {
	w := newWorld(t, times(time.Second, time.Hour))
	tried, allowed := 0, false
	w.c.Client = interceptor.NewClient(w.api.(client.WithWatch), interceptor.Funcs{
		Patch: func(ctx context.Context, c client.WithWatch, o client.Object, p client.Patch, opts ...client.PatchOption) error {
			if tried++; !allowed {
				return errors.New("a policy denies it")
			}
			return c.Patch(ctx, o, p, opts...)
		}})
	for range 600 {
		_ = w.c.Step(context.Background()) // says so
		w.now = w.now.Add(time.Second)
	}
	if tried < 10 || tried > 40 {
		t.Errorf("two configurations were tried %d times in ten minutes, want about one a minute each", tried)
	}
	allowed = true
	w.after(time.Minute, "Ignore")
}

// TestWhatIsInEffectIsJudged: while the present version is faulty, webhooks are of the last good one.
func TestWhatIsInEffectIsJudged(t *testing.T) {
	w := newWorld(t, func(i *v1alpha1.Injector) { i.Spec.Degrade.Mode = v1alpha1.DegradeNever })
	good := &v1alpha1.InjectorSpec{Degrade: v1alpha1.Degrade{Mode: v1alpha1.DegradeIgnore}}
	good.Degrade.After.Duration = time.Second
	w.c.InEffect = func(*v1alpha1.Injector) *v1alpha1.InjectorSpec { return good }
	w.after(0, "Fail")
	w.after(time.Second, "Ignore")
}

// TestFarewellOfTwoAtOnce: each looks ready to the other at first.
func TestFarewellOfTwoAtOnce(t *testing.T) {
	w := newWorld(t, times(time.Hour, time.Hour))
	w.endpoints("a", "b")
	done := make(chan struct{})
	go func() {
		defer close(done)
		w.c.Farewell(t.Context())
	}()
	w.endpoints("-a", "-b")
	select {
	case <-done:
	case <-time.After(20 * time.Second):
		t.Fatal("it still waits for another replica")
	}
	w.is("Ignore")
}
