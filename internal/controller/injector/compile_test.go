package injector

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pillion-mesh/pillion/api/v1alpha1"
	"github.com/pillion-mesh/pillion/internal/inject"
)

// lastGood is a LastGood made of a function.
type lastGood func(context.Context, *v1alpha1.Injector) (*v1alpha1.Injector, error)

func (f lastGood) Load(ctx context.Context, inj *v1alpha1.Injector) (*v1alpha1.Injector, error) {
	return f(ctx, inj)
}

func TestFailedRecallIsNotReadyAndTriedAgain(t *testing.T) {
	for _, c := range []struct {
		name   string
		others []*v1alpha1.Injector
	}{
		{"the only Injector", nil},
		{"another one works", []*v1alpha1.Injector{made("canary", "canary", 2)}},
	} {
		t.Run(c.name, func(t *testing.T) {
			inj := made("default", "default", 1)
			inj.UID = "u1"
			w := newWorld(t, append(c.others, inj)...)
			w.must(w.reconcile("default"))
			w.edit("default", broken)
			w.restart()
			good := w.c.Compiler.LastGood
			w.c.Compiler.LastGood = lastGood(func(context.Context, *v1alpha1.Injector) (*v1alpha1.Injector, error) {
				return nil, errors.New("etcd is away")
			})
			if err := w.reconcile("default"); err == nil || !strings.Contains(err.Error(), "etcd is away") {
				t.Errorf("error %v: it wouldn't be tried again", err)
			}
			if err := w.c.Compiler.Ready(); err == nil || !strings.Contains(err.Error(), "etcd is away") {
				t.Errorf("Ready is %v although pods of the Injector would be answered 404", err)
			}
			if _, err := w.configuration("pillion-injector-default"); err != nil {
				t.Errorf("its webhooks went: %v", err)
			}
			if m := w.condition("default", v1alpha1.ConditionTemplatesReady).Message; !strings.Contains(m, "etcd is away; trying again") {
				t.Errorf("status: %s", m)
			}
			w.c.Compiler.LastGood = good
			w.must(w.reconcile("default"))
			w.must(w.c.Compiler.Ready())
			if one := w.c.Compiler.State().Injectors["default"]; one.Program == nil || !one.Previous() || one.Pending != nil {
				t.Errorf("after the next try: %+v", one)
			}
		})
	}
}

// TestNewInjectorLeavesReplicasReady: only a replica that was never ready waits until it knows what to serve.
func TestNewInjectorLeavesReplicasReady(t *testing.T) {
	for _, wasReady := range []bool{true, false} {
		w := newWorld(t, made("default", "default", 1))
		w.must(w.reconcile("default"))
		if wasReady {
			w.must(w.c.Compiler.Ready())
		}
		young := made("young", "young", 2)
		broken(young)
		w.must(w.api.Create(context.Background(), young))
		w.c.Compiler.LastGood = lastGood(func(context.Context, *v1alpha1.Injector) (*v1alpha1.Injector, error) {
			return nil, errors.New("etcd is away")
		})
		if _, err := w.c.Compiler.Refresh(context.Background()); err == nil {
			t.Error("a failed read isn't tried again")
		}
		if err := w.c.Compiler.Ready(); (err == nil) != wasReady {
			t.Errorf("Ready is %v for a replica that was ready: %t", err, wasReady)
		}
	}
}

// TestTooSlowIsTriedAgain: what serves goes on, or nothing is ready; never is it taken for a fault.
func TestTooSlowIsTriedAgain(t *testing.T) {
	for _, c := range []struct {
		name             string
		restart, recalls bool // a new process; one that has time for the last good version
		serves           bool
	}{
		{"an edit", false, false, true},
		{"after a restart", true, false, false},
		{"after a restart, but not the last good version", true, true, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t, made("default", "default", 1))
			w.must(w.reconcile("default"))
			before := w.get("default").Generation
			w.edit("default", func(i *v1alpha1.Injector) { i.Spec.Proxy.LogLevel = "debug" })
			if c.restart {
				w.restart()
			}
			w.c.Compiler.Compile = func(inj *v1alpha1.Injector, op inject.Operator) (*inject.Program, error) {
				if c.recalls && inj.Generation == before {
					return inject.Compile(inj, op)
				}
				return nil, &inject.TimeoutError{Injector: inj.Name}
			}
			if err := w.reconcile("default"); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("error %v: it wouldn't be tried again", err)
			}
			one := w.c.Compiler.State().Injectors["default"]
			if one.Fault != nil || one.Pending == nil || (one.Program != nil) != c.serves {
				t.Errorf("fault %v, pending %v, program %p, want no fault", one.Fault, one.Pending, one.Program)
			}
			if err := w.c.Compiler.Ready(); (err == nil) != c.serves {
				t.Errorf("Ready is %v", err)
			}
			message := w.condition("default", v1alpha1.ConditionTemplatesReady).Message
			if !strings.Contains(message, "took longer than 30s") || strings.Contains(message, usingPreviousMessage) != c.serves {
				t.Errorf("status: %s", message)
			}
			w.c.Compiler.Compile = inject.Compile
			w.must(w.reconcile("default"))
			w.must(w.c.Compiler.Ready())
			if one := w.c.Compiler.State().Injectors["default"]; one.Previous() || one.InEffect.Spec.Proxy.LogLevel != "debug" {
				t.Errorf("after the next try: %+v", one)
			}
		})
	}
}

func TestSlowCompileStopsNeitherRepairsNorStatus(t *testing.T) {
	w := newWorld(t, made("default", "default", 1))
	w.must(w.reconcile("default"))
	slow := made("slow", "slow", 2)
	broken(slow)
	w.must(w.api.Create(context.Background(), slow))
	compiling, finish, done := make(chan struct{}), make(chan struct{}), make(chan struct{})
	w.c.Compiler.LastGood = lastGood(func(context.Context, *v1alpha1.Injector) (*v1alpha1.Injector, error) {
		close(compiling)
		<-finish
		return nil, nil
	})
	go func() {
		defer close(done)
		_, _ = w.c.compile(context.Background(), request("all"))
	}()
	defer func() { <-done }()
	defer close(finish)
	<-compiling

	w.edit("default", func(i *v1alpha1.Injector) {
		meta.RemoveStatusCondition(&i.Status.Conditions, v1alpha1.ConditionAccepted)
	})
	written := make(chan error, 1)
	for _, generation := range []int64{2, 1} { // one whose compile is still to come, and one that is compiled
		inj := w.get("default")
		inj.Generation = generation
		w.must(w.api.Update(context.Background(), inj))
		live, err := w.configuration("pillion-injector-default")
		w.must(err)
		w.must(w.api.Delete(context.Background(), live))
		w.now = w.now.Add(time.Minute)
		go func() {
			_, err := w.c.Reconcile(context.Background(), request("default"))
			written <- err
		}()
		select {
		case err := <-written:
			w.must(err)
		case <-time.After(20 * time.Second):
			t.Fatal("the writing half waits for a template")
		}
		if _, err := w.configuration("pillion-injector-default"); err != nil {
			t.Errorf("generation %d: not repaired: %v", generation, err)
		}
	}
	if c := w.condition("default", v1alpha1.ConditionAccepted); c.Status != metav1.ConditionTrue {
		t.Errorf("status: %+v", c)
	}
}

func TestCompilingPokesTheWriterAndWhoeverKeepsCertificates(t *testing.T) {
	w := newWorld(t, made("default", "default", 1))
	told := 0
	w.c.Compiled = func() { told++ }
	for _, want := range []int{1, 0} { // the second time there is no news
		told = 0
		if _, err := w.c.compile(context.Background(), request("all")); err != nil || len(w.c.poke) != want || told != want {
			t.Errorf("%d pokes, told %d times, want %d (%v)", len(w.c.poke), told, want, err)
		}
		for len(w.c.poke) > 0 {
			<-w.c.poke
		}
	}
}

func TestNamesOfADeletedInjectorAreFreedOnceThatIsCompiled(t *testing.T) {
	w := newWorld(t, made("default", "default", 1))
	w.must(w.reconcile("default"))
	w.must(w.api.Delete(context.Background(), w.get("default")))
	again, err := w.c.Reconcile(context.Background(), request("default"))
	if err != nil || again.RequeueAfter == 0 {
		t.Errorf("%+v, %v: nobody looks again, so its webhooks stay", again, err)
	}
	w.must(w.reconcile("default"))
	if _, err := w.configuration("pillion-injector-default"); err == nil {
		t.Error("its webhooks stay")
	}
}

func TestTooBigToKeepIsSaidOnce(t *testing.T) {
	w := newWorld(t, made("default", "default", 1))
	w.c.store.Most = 100
	for range 3 {
		w.must(w.reconcile("default")) // no error: a back-off wouldn't help
	}
	c := w.condition("default", v1alpha1.ConditionTemplatesReady)
	if c.Status != metav1.ConditionTrue || c.Reason != "LastGoodNotKept" || !strings.Contains(c.Message, "make its templates smaller") {
		t.Errorf("%+v", c)
	}
	if len(w.told) != 1 || w.told[0].Reason != "LastGoodNotKept" {
		t.Errorf("Events: %+v", w.told)
	}
	w.c.store.Most = maxLastGood
	w.edit("default", func(i *v1alpha1.Injector) { i.Spec.Proxy.LogLevel = "debug" })
	w.must(w.reconcile("default"))
	if c := w.condition("default", v1alpha1.ConditionTemplatesReady); c.Reason != "Compiled" {
		t.Errorf("after it became smaller: %+v", c)
	}
}
