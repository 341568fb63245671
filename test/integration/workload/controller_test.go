package workload

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/pillion-mesh/pillion/api/v1alpha1"
)

// often is fast enough that the rate is never in the way.
const often = 30

func evicting(mode v1alpha1.EvictMode, perMinute int32) v1alpha1.Workload {
	return v1alpha1.Workload{Evict: mode, DryRun: new(false), EvictionsPerMinute: perMinute}
}

// expect holds status and metrics against what there is.
func (c *controlled) expect(injected, stale, missing int32) {
	c.T.Helper()
	c.advance(10 * time.Second)
	c.look()
	if got := c.counts(); got.Injected != injected || got.Stale != stale || got.Missing != missing {
		c.T.Errorf("status.pods is %+v, want %d injected, of these %d stale, and %d missing", got, injected, stale, missing)
	}
	for state, want := range map[string]int32{"injected": injected, "stale": stale, "missing": missing} {
		if got := c.metric("pillion_workload_pods", "state", state); got != float64(want) {
			c.T.Errorf("metric of %s pods is %v, want %d", state, got, want)
		}
	}
}

func (c *controlled) heard(reason string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, e := range c.told {
		if e.Reason == reason {
			return true
		}
	}
	return false
}

func TestPodsOlderThanTheLabelAreEvictedAndComeBackInjected(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	e.deploy("web", 2)
	c := e.inject(evicting(v1alpha1.EvictMissing, often), true)
	c.look()
	if len(c.told) != 0 || c.evictions("evicted") != 0 {
		t.Fatalf("before the namespace asked: %+v", c.told)
	}
	e.ask()
	c.expect(0, 0, 2) // and one goes
	e.Eventually("the evicted pod is replaced", func() error {
		if n := e.withSidecar(); n != 1 || len(e.podsOf("web")) != 2 {
			return fmt.Errorf("%d of %d pods have a sidecar", n, len(e.podsOf("web")))
		}
		return nil
	})
	for range 5 {
		c.advance(time.Minute)
		c.look()
	}
	if n := c.evictions("evicted"); n != 1 {
		t.Fatalf("%v evictions while the replacement isn't ready", n)
	}
	e.settled("web", 2)
	c.look()
	if n := c.evictions("evicted"); n != 2 {
		t.Fatalf("%v evictions after the replacement became ready, want 2", n)
	}
	e.settled("web", 2)
	c.expect(2, 0, 0)
	for _, reason := range []string{"SidecarMissing", "SidecarEvicted"} {
		if !c.heard(reason) {
			t.Errorf("no Event %s: %+v", reason, c.told)
		}
	}
}

func TestPodDisruptionBudgetsAreRespected(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	e.deploy("web", 2)
	budget := e.budget("web", 2, 0)
	before := e.uids()
	c := e.inject(evicting(v1alpha1.EvictMissing, often), true)
	e.ask()
	c.look()
	for range 5 {
		c.advance(5 * time.Second)
		c.look()
	}
	if blocked := c.evictions("blocked"); blocked != 1 || !slices.Equal(e.uids(), before) {
		t.Fatalf("%v blocked within half a minute, want one and the same pods", blocked)
	}
	if !c.heard("SidecarEvictionBlocked") {
		t.Errorf("no Event says so: %+v", c.told)
	}
	c.advance(5 * time.Second)
	c.look()
	if blocked := c.evictions("blocked"); blocked != 2 {
		t.Fatalf("%v blocked after half a minute, want 2", blocked)
	}
	budget.Spec.MinAvailable.IntVal = 1
	must(t, e.Client.Update(e.Ctx(), budget))
	e.allows(budget, 1)
	c.advance(time.Minute)
	c.look()
	if evicted := c.evictions("evicted"); evicted != 1 {
		t.Errorf("%v evicted once the budget allows one", evicted)
	}
}

func TestADryRunEvictsNothing(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	e.deploy("web", 1)
	e.deploy("api", 1)
	before := e.uids()
	c := e.inject(v1alpha1.Workload{Evict: v1alpha1.EvictMissing}, true)
	e.ask()
	for range 6 {
		c.advance(time.Minute)
		c.look()
	}
	if said := c.evictions("dry_run"); said != 2 || c.evictions("evicted") != 0 || !slices.Equal(e.uids(), before) {
		t.Errorf("%v said and %v evicted, want 2 and 0", said, c.evictions("evicted"))
	}
	if !c.heard("SidecarEvictionDryRun") {
		t.Errorf("no Event says so: %+v", c.told)
	}
}

func TestTheRateIsKept(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	for i := range 4 {
		e.deploy(fmt.Sprintf("web%d", i), 1)
	}
	c := e.inject(evicting(v1alpha1.EvictMissing, 6), true)
	e.ask()
	for i := range 16 { // looks two seconds apart
		c.look()
		if n, most := c.evictions("evicted"), float64(1+2*i/10); n != most {
			t.Fatalf("%v evictions after %d seconds, want %v", n, 2*i, most)
		}
		for web := range 4 { // one more at a time may be awaited only when one became ready
			e.settled(fmt.Sprintf("web%d", web), 1)
		}
		c.advance(2 * time.Second)
	}
}

func TestEvictionsStopWhereWebhooksDoNothing(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	for i := range 7 {
		e.deploy(fmt.Sprintf("web%d", i), 1)
	}
	c := e.inject(evicting(v1alpha1.EvictMissing, often), false)
	e.ask()
	for range 20 {
		c.advance(5 * time.Second)
		c.look()
		e.Eventually("all pods are there", func() error {
			if n := len(e.pods()); n != 7 {
				return fmt.Errorf("%d are", n)
			}
			return nil
		})
	}
	if n := c.evictions("evicted"); n != 5 || !c.heard("SidecarEvictionStopped") {
		t.Errorf("%v evictions, Events %+v; want the end after 5", n, c.told)
	}
}

func TestAnEditMakesSidecarsStaleAndTheyAreRenewed(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	c := e.inject(evicting(v1alpha1.EvictMissingAndStale, often), true)
	e.ask()
	e.deploy("web", 1)
	c.expect(1, 0, 0)
	inj := &v1alpha1.Injector{}
	must(t, e.Client.Get(e.Ctx(), client.ObjectKey{Name: e.revision()}, inj))
	inj.Spec.Proxy.Image = "localhost/sidecar:2"
	must(t, e.Client.Update(e.Ctx(), inj))
	c.compile(inj)
	if pods := e.counts(); pods.Injected != 1 {
		t.Errorf("writing conditions changed status.pods: %+v", pods)
	}
	c.expect(1, 1, 0) // and it goes
	e.settled("web", 1)
	c.expect(1, 0, 0)
	if !c.heard("SidecarStale") || c.evictions("evicted") != 1 {
		t.Errorf("%v evicted, Events %+v", c.evictions("evicted"), c.told)
	}
}
