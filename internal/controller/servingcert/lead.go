package servingcert

import (
	"context"
	"slices"
	"time"

	"github.com/pillion-mesh/pillion/api/v1alpha1"
	"github.com/pillion-mesh/pillion/internal/controller/servingcert/rotation"
)

// leading is what this replica saw since it leads. It is lost with the Lease: dwell times that safety depends on are
// measured by one clock, and only while somebody looks.
type leading struct {
	since    time.Time
	trusted  rotation.Streak // next, by the bundles
	changed  rotation.Streak // everybody serves active
	why      error           // why next isn't trusted yet
	asked    time.Time       // when replicas were last to be looked at
	probed   time.Time       // when API servers were last to be asked
	replicas *sighting       // what replicas were seen to serve; nil: they weren't looked at since this replica leads
	judged   *hearing        // what of API servers' answers was judged last
	probe    rotation.Probe
	distrust map[string]error
	stuck    bool // the phase lasts longer than it must
}

// lead is what the Secret should say, by everything that the leader sees.
func (c *Controller) lead(ctx context.Context, f found, s stored) (stored, []rotation.Action, error) {
	now := c.Now()
	if c.leading == nil {
		c.leading = &leading{since: now, distrust: map[string]error{}}
	}
	known := with(s.State, s)
	o := c.observe(ctx, &known, now)
	var fault error
	o.Make = c.make(&known, &fault)
	next, actions := rotation.Next(s.State, o, c.Times, now)
	if fault != nil {
		return s, nil, fault
	}
	c.leading.stuck = slices.Contains(actions, rotation.Stuck)
	if next.Phase != s.Phase {
		c.leading.probed = time.Time{} // the probe's bundle changes too, and must not keep a CA that is gone for a minute
	}
	if f.exists && s.Phase != rotation.Steady && next.Phase == rotation.Introduce && next.Count != s.Count {
		c.metrics.rotations.WithLabelValues("failed").Inc() // another took its place
	}
	return with(next, known), actions, nil
}

// observe gathers what rotation.Next has to know; what costs calls only when the phase needs it.
func (c *Controller) observe(ctx context.Context, s *stored, now time.Time) rotation.Observed {
	served, l, settings := c.leaf.Load(), c.leading, c.Settings()
	o := rotation.Observed{Served: served.authority(), Foreign: c.foreign(settings), LeafLife: settings.SelfManaged.LeafDuration.Duration}
	if memory := c.remembered(); !memory.Active.None() {
		o.Known = s.add(memory.cas[memory.Active.ID])
	}
	if served != nil {
		s.add(&authority{Cert: served.ca})
		o.LeafLife = max(o.LeafLife, served.ends.Sub(served.crt.NotBefore))
	}
	if o.Foreign && c.pair != nil {
		o.Wanted = s.add(&authority{Cert: c.pair.ca})
		o.LeafLife = max(o.LeafLife, c.pair.ends.Sub(c.pair.crt.NotBefore))
	}
	c.lookAtBundles(ctx, *s, now)
	c.ask(s.State, now)
	c.heedReplicas(now)
	o.Endpoints, o.Complete = c.seen(*s, now)
	if l.replicas != nil {
		l.changed.Look(o.Complete && all(o.Endpoints, s.Active.ID), string(s.Active.ID), l.replicas.at, c.Times.Stale)
	}
	c.heedServers(s.State, now)
	o.Trusted, o.Changed, o.Probe = l.trusted.For(), l.changed.For(), l.probe
	return o
}

func all(endpoints []rotation.Endpoint, id rotation.ID) bool {
	for _, e := range endpoints {
		if e.CA != id {
			return false
		}
	}
	return true
}

// foreign says that a CA of ours isn't asked for, or may not be: until every Injector was read, nobody knows.
func (c *Controller) foreign(settings v1alpha1.Certificates) bool {
	return settings.Source != v1alpha1.CertificatesSelfManaged || !c.Known()
}
