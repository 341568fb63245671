package servingcert

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/pillion-mesh/pillion/api/v1alpha1"
	"github.com/pillion-mesh/pillion/internal/controller/servingcert/rotation"
)

// syncPair reads what somebody else issued. One that can't be used changes nothing but what is told.
func (c *Controller) syncPair(ctx context.Context) {
	settings := c.Settings()
	if settings.Source == v1alpha1.CertificatesSelfManaged || c.Pairs == nil {
		c.pair, c.refused, c.expiring = nil, nil, ""
		return
	}
	p, err := c.Pairs.Candidate(ctx, settings, c.called())
	c.refused = err
	if err != nil {
		c.tellRefused(err)
	}
	if p == nil {
		return // the last one is as good as it was
	}
	c.pair = &leaf{tls: p.Certificate, crt: p.Certificate.Leaf, ca: p.CA, id: idOf(p.CA), ends: p.Ends}
	c.tellExpiring(p, settings.Source == v1alpha1.CertificatesCertManager)
}

// syncLeaf changes the served leaf when it is time. With stale knowledge it only renews.
func (c *Controller) syncLeaf(ctx context.Context, fresh bool) error {
	s, served, now := c.remembered(), c.leaf.Load(), c.Now()
	options, err := c.could(s, served, now)
	if err != nil {
		return err
	}
	var entries []entry
	if (len(options) > 0 || served != nil && served.id == s.Next.ID) && fresh {
		entries, err = c.claimed(ctx, c.Live)
		fresh = err == nil
	}
	c.settle(served, entries, fresh, now)
	times := c.Times.Of(s.State)
	c.active.Look(fresh, string(s.Active.ID), now, c.Times.Stale)
	h := rotation.Holding{Active: s.Active.ID, Since: c.active.For(), Jitter: time.Duration(c.jitter * float64(times.Jitter))}
	if served != nil {
		h.Served = rotation.Leaf{CA: served.id, Ends: served.ends}
	}
	for _, option := range options {
		h.Could = append(h.Could, c.option(option, served, entries, fresh, now))
	}
	at, verdict := rotation.Hold(h, times, now)
	if at >= 0 {
		c.serve(options[at], verdict)
	}
	c.show(s, options)
	if c.leaf.Load() == nil {
		return errors.Join(err, errNoLeaf)
	}
	return err
}

// settle keeps for how long bundles have been seen to verify the served leaf, as far as anybody looked.
func (c *Controller) settle(served *leaf, entries []entry, fresh bool, now time.Time) {
	trusted := false
	if served != nil && fresh {
		trusted, _ = weigh(entries, nil, served, now)
	}
	c.serving.Look(trusted, versionOf(entries), now, c.Times.Stale)
	c.settled.Store(int64(c.serving.For()))
}

// option is what rotation has to know of a leaf.
func (c *Controller) option(l, served *leaf, entries []entry, fresh bool, now time.Time) rotation.Leaf {
	o := rotation.Leaf{CA: l.id, Ends: l.ends, Trusted: rotation.Broken}
	if served != nil && l.id == served.id {
		o.Renewal, o.Trusted = true, 0
		return o
	}
	trusted, better := weigh(entries, served, l, now)
	streak := c.held[l.id]
	if streak == nil {
		streak = &rotation.Streak{}
		c.held[l.id] = streak
	}
	streak.Look(fresh && trusted, versionOf(entries), now, c.Times.Stale)
	o.Trusted, o.Better = streak.For(), fresh && better
	return o
}

// could are the leaves that may be served instead of the present one, that of active first.
func (c *Controller) could(s stored, served *leaf, now time.Time) ([]*leaf, error) {
	var all []*leaf
	for _, ca := range []rotation.CA{s.Active, s.Next} {
		a := s.cas[ca.ID]
		switch {
		case a == nil || a.Key == nil:
		case served != nil && served.id == ca.ID && !c.due(served, now):
		default:
			l, err := c.prepare(a, now)
			if err != nil {
				return nil, err
			}
			all = append(all, l)
		}
		if p := c.pair; p != nil && p.id == ca.ID && !same(p, served) {
			all = append(all, p)
		}
	}
	if p := c.pair; p != nil && !same(p, served) && p.id != s.Active.ID && p.id != s.Next.ID {
		all = append(all, p)
	}
	c.forget(s)
	return all, nil
}

func same(p, served *leaf) bool { return served != nil && p.crt.Equal(served.crt) }

// prepare signs a leaf, or gives the one that was signed before and isn't served yet.
func (c *Controller) prepare(a *authority, now time.Time) (*leaf, error) {
	id := idOf(a.Cert)
	if l := c.prepared[id]; l != nil && !c.due(l, now) {
		return l, nil
	}
	l, err := a.newLeaf(c.names(), c.Settings().SelfManaged.LeafDuration.Duration, now, c.Jitter())
	if err != nil {
		return nil, err
	}
	c.prepared[id] = l
	return l, nil
}

// due says that a leaf of ours wants another.
func (c *Controller) due(l *leaf, now time.Time) bool {
	return !now.Before(l.at) || l.life != c.Settings().SelfManaged.LeafDuration.Duration
}

// forget drops what was prepared for CAs that nobody knows any more.
func (c *Controller) forget(s stored) {
	for id := range c.prepared {
		if !s.Has(id) {
			delete(c.prepared, id)
		}
	}
	for id := range c.held {
		if !s.Has(id) && (c.pair == nil || c.pair.id != id) {
			delete(c.held, id)
		}
	}
}

func (c *Controller) serve(l *leaf, why rotation.Verdict) {
	before := c.leaf.Load()
	c.leaf.Store(l)
	delete(c.prepared, l.id)
	delete(c.held, l.id)
	if why == rotation.Forced && before.id != l.id {
		c.metrics.rotations.WithLabelValues("forced").Inc()
	}
	c.Log.Info("serving certificate changed", "why", why, "ca", l.id, "notAfter", l.ends, "renewAt", l.at)
}

// show keeps what is served under the probe's name: the leaf of next, if there is one.
func (c *Controller) show(s stored, options []*leaf) {
	served := c.leaf.Load()
	c.holding.Store(false)
	c.shown.Store(nil)
	for _, l := range options {
		if l == served {
			continue
		}
		c.holding.Store(c.holding.Load() || l.id == s.Active.ID)
		if l.id == s.Next.ID {
			c.shown.Store(l)
		}
	}
}

// names are the leaf's, the Service's own first.
func (c *Controller) names() []string {
	base := c.Service + "." + c.Namespace
	return append(c.called(), base, c.Service, fmt.Sprintf("%s.svc.%s", base, c.ClusterDomain))
}

// called are the names that API servers call us by. Who issues certificates elsewhere needn't be allowed more: a private
// PKI refuses short names.
func (c *Controller) called() []string {
	return append([]string{c.Service + "." + c.Namespace + ".svc", c.ProbeHost}, c.Hosts...)
}
