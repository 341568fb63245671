package operator

import (
	"testing"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"
)

func TestTwoReplicasStartAtOnce(t *testing.T) {
	e := newEnv(t)
	e.Injector()
	a, b := e.Start("a"), e.Start("b")
	e.Ready(a, b)
	e.Serving("default")
	e.Injected(e.Meshed())
	secret, err := e.caSecret()
	must(t, err)
	if secret.Annotations["pillion.dev/phase"] != "Steady" || secret.Annotations["pillion.dev/rotation"] != "0" {
		t.Errorf("annotations of the Secret: %v", secret.Annotations)
	}
	stateA, err := presented(e.Ctx(), a)
	must(t, err)
	stateB, err := presented(e.Ctx(), b)
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
	e.Injector()
	a, b := e.Start("a"), e.Start("b")
	e.Ready(a, b)
	e.Serving("default")
	lease := client.ObjectKey{Namespace: e.Namespace, Name: "pillion"}
	stop := e.KeepCreating(e.Meshed())

	leader, other := e.LeaderOf(a, b)
	c := e.Start("c") // as a rollout does: first one more, then one less
	e.Ready(c)
	leader.Terminate() // it stays as long as the API server has idle connections to it
	e.Within(12*time.Second, "another replica leads: the Lease was given away", func() error {
		if e.Leads(lease, other) == nil {
			return nil
		}
		return e.Leads(lease, c)
	})
	d := e.Start("d")
	e.Ready(d)
	other.Terminate()
	for _, r := range []*replica{leader, other} {
		e.Eventually("replica "+r.Name+" drains", func() error {
			if r.Get(e.Ctx(), "/readyz") == nil || !r.Log.Has("manager stopped, Lease released") {
				return errorf("log: %s", r.Log.Tail(3))
			}
			return nil
		})
	}
	e.Eventually("the news has spread", func() error { return e.Service.Only(c, d) })
	stop(0)
}

func TestReplicaEndsWhenNobodyIsConnected(t *testing.T) {
	e := newEnv(t)
	e.Injector()
	r := e.Start("a")
	e.Ready(r)
	began := time.Now()
	r.Terminate()
	if code := r.Exited(t); code != 0 {
		t.Errorf("exit code %d after SIGTERM", code)
	}
	if took := time.Since(began); took < 3*time.Second {
		t.Errorf("it ended after %s, before the news could spread", took)
	}
}

func TestKilledReplicaLosesOnlyWhatItHeld(t *testing.T) {
	e := newEnv(t)
	e.Injector()
	a, b := e.Start("a"), e.Start("b")
	e.Ready(a, b)
	e.Serving("default")
	// Without a lag: what arrives at a dead address while the news spreads isn't the operator's to lose.
	e.Service.HearAtOnce()
	leader, other := e.LeaderOf(a, b)
	stop := e.KeepCreating(e.Meshed())
	leader.Kill()
	e.Service.Remove(leader)
	stop(3) // what was in flight
	lease := client.ObjectKey{Namespace: e.Namespace, Name: "pillion"}
	e.Within(25*time.Second, "the other leads", func() error { return e.Leads(lease, other) })
	live, err := e.Configuration(defaultConfiguration)
	must(t, err)
	must(t, e.Client.Delete(e.Ctx(), live.DeepCopy()))
	e.same("deleted under the new leader", live)
}

func TestCrashLosesOnlyWhatWasInFlight(t *testing.T) {
	e := newEnv(t)
	e.Injector()
	a, b := e.Start("a"), e.Start("b")
	e.Ready(a, b)
	e.Serving("default")
	stop := e.KeepCreating(e.Meshed())
	leader, _ := e.LeaderOf(a, b)
	leader.Crash(t)
	e.Eventually("the replica notices", func() error {
		if !leader.Log.Has("child died") {
			return errorf("log: %s", leader.Log.Tail(3))
		}
		return nil
	})
	e.Ready(leader)
	stop(3)
	if value, err := leader.Metric(e.Ctx(), "pillion_operator_restarts_total"); err != nil || value != "1" {
		t.Errorf("pillion_operator_restarts_total is %q, want 1 (%v)", value, err)
	}
	e.EventFor(e.Namespace, "Pod", leader.Name, "OperatorRestarted", "signal: killed")
}
