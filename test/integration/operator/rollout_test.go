package operator

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// keepCreating makes pods in a meshed namespace, 50 a second, with failurePolicy Fail. The returned function ends it
// and fails the test if more than allowed creations failed, or came without a sidecar.
func (e *env) keepCreating(namespace string) (stop func(allowed int)) {
	e.t.Helper()
	e.injected(namespace)
	ctx, cancel := context.WithCancel(e.ctx())
	var mu sync.Mutex
	var tried int
	var failures []string
	var wait sync.WaitGroup
	wait.Go(func() {
		ticker := time.NewTicker(20 * time.Millisecond)
		defer ticker.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-ticker.C:
			}
			wait.Go(func() {
				made, err := e.create(e.ctx(), pod(namespace))
				mu.Lock()
				defer mu.Unlock()
				tried++
				switch {
				case err != nil:
					failures = append(failures, time.Now().Format("05.000 ")+err.Error())
				case !hasProxy(made):
					failures = append(failures, time.Now().Format("05.000 ")+"no sidecar")
				}
			})
		}
	})
	count := func() int {
		mu.Lock()
		defer mu.Unlock()
		return tried
	}
	return func(allowed int) {
		e.t.Helper()
		enough := count() + 25 // what happened last must show
		e.eventually("some more pods are created", func() error {
			if n := count(); n < enough {
				return errorf("%d of %d", n, enough)
			}
			return nil
		})
		cancel()
		wait.Wait()
		e.t.Logf("%d pods, %d failures", tried, len(failures))
		if len(failures) > allowed {
			e.t.Errorf("%d of %d creations failed, at most %d may: %q", len(failures), tried, allowed, failures[:min(5, len(failures))])
		}
	}
}

func (e *env) leads(lease client.ObjectKey, r *replica) error {
	var l coordinationv1.Lease
	if err := e.client.Get(e.ctx(), lease, &l); err != nil {
		return err
	}
	if l.Spec.HolderIdentity == nil || !strings.HasPrefix(*l.Spec.HolderIdentity, r.name+"_") {
		return errorf("the Lease is held by %v", l.Spec.HolderIdentity)
	}
	return nil
}

func (e *env) leaderOf(a, b *replica) (leader, other *replica) {
	e.t.Helper()
	e.eventually("one leads", func() error {
		lease := client.ObjectKey{Namespace: e.namespace, Name: "pillion"}
		leader, other = a, b
		if e.leads(lease, a) == nil {
			return nil
		}
		leader, other = b, a
		return e.leads(lease, b)
	})
	return leader, other
}

func TestTwoReplicasStartAtOnce(t *testing.T) {
	e := newEnv(t)
	e.injector()
	a, b := e.start("a"), e.start("b")
	e.ready(a, b)
	e.serving("default")
	e.injected(e.meshed())
	secret, err := e.caSecret()
	must(t, err)
	if secret.Annotations["pillion.dev/phase"] != "Steady" || secret.Annotations["pillion.dev/rotation"] != "0" {
		t.Errorf("annotations of the Secret: %v", secret.Annotations)
	}
	stateA, err := presented(e.ctx(), a)
	must(t, err)
	stateB, err := presented(e.ctx(), b)
	must(t, err)
	leafA, leafB := stateA.PeerCertificates[0], stateB.PeerCertificates[0]
	if leafA.Equal(leafB) {
		t.Error("two replicas serve the same leaf: it was stored somewhere")
	}
	if string(leafA.AuthorityKeyId) != string(leafB.AuthorityKeyId) {
		t.Error("two replicas use different CAs")
	}
	if stateA.NegotiatedProtocol == "h2" {
		t.Error("HTTP/2 puts all calls of an API server on one replica")
	}
}

func TestRolloutLosesNoCreation(t *testing.T) {
	e := newEnv(t)
	e.injector()
	a, b := e.start("a"), e.start("b")
	e.ready(a, b)
	e.serving("default")
	lease := client.ObjectKey{Namespace: e.namespace, Name: "pillion"}
	stop := e.keepCreating(e.meshed())

	leader, other := e.leaderOf(a, b)
	c := e.start("c") // as a rollout does: first one more, then one less
	e.ready(c)
	leader.terminate() // it stays as long as the API server has idle connections to it
	e.within(6*time.Second, "another replica leads: the Lease was given away", func() error {
		if e.leads(lease, other) == nil {
			return nil
		}
		return e.leads(lease, c)
	})
	d := e.start("d")
	e.ready(d)
	other.terminate()
	for _, r := range []*replica{leader, other} {
		e.eventually("replica "+r.name+" drains", func() error {
			if r.get(e.ctx(), "/readyz") == nil || !r.log.has("manager stopped, Lease released") {
				return errorf("log: %s", r.log.tail(3))
			}
			return nil
		})
	}
	e.eventually("the news has spread", func() error { return e.service.only(c, d) })
	stop(0)
}

func TestReplicaEndsWhenNobodyIsConnected(t *testing.T) {
	e := newEnv(t)
	e.injector()
	r := e.start("a")
	e.ready(r)
	began := time.Now()
	r.terminate()
	if code := r.exited(t); code != 0 {
		t.Errorf("exit code %d after SIGTERM", code)
	}
	if took := time.Since(began); took < 3*time.Second {
		t.Errorf("it ended after %s, before the news could spread", took)
	}
}

func TestKilledReplicaLosesOnlyWhatItHeld(t *testing.T) {
	e := newEnv(t)
	e.injector()
	a, b := e.start("a"), e.start("b")
	e.ready(a, b)
	e.serving("default")
	// Without a lag: what arrives at a dead address while the news spreads isn't the operator's to lose.
	e.service.hearAtOnce()
	leader, other := e.leaderOf(a, b)
	stop := e.keepCreating(e.meshed())
	leader.kill()
	e.service.remove(leader)
	stop(3) // what was in flight
	lease := client.ObjectKey{Namespace: e.namespace, Name: "pillion"}
	e.within(25*time.Second, "the other leads", func() error { return e.leads(lease, other) })
	live, err := e.configuration(defaultConfiguration)
	must(t, err)
	must(t, e.client.Delete(e.ctx(), live.DeepCopy()))
	e.same("deleted under the new leader", live)
}

func TestCrashLosesOnlyWhatWasInFlight(t *testing.T) {
	e := newEnv(t)
	e.injector()
	a, b := e.start("a"), e.start("b")
	e.ready(a, b)
	e.serving("default")
	stop := e.keepCreating(e.meshed())
	leader, _ := e.leaderOf(a, b)
	leader.crash(t)
	e.eventually("the replica notices", func() error {
		if !leader.log.has("child died") {
			return errorf("log: %s", leader.log.tail(3))
		}
		return nil
	})
	e.ready(leader)
	stop(3)
	if value, err := leader.metric(e.ctx(), "pillion_operator_restarts_total"); err != nil || value != "1" {
		t.Errorf("pillion_operator_restarts_total is %q, want 1 (%v)", value, err)
	}
	e.eventFor(e.namespace, "Pod", leader.name, "OperatorRestarted", "signal: killed")
}
