package servingcert

import (
	"context"
	"fmt"
	"time"
)

// settle is how long the live bundles must have verified a leaf of a new CA before it is served: API servers other than
// the one we read from may lag behind.
const settle = 60 * time.Second

// change says whether the served leaf stays.
type change string

const (
	keep change = "keep"
	hold change = "hold" // a new CA is there, its leaf not yet trusted everywhere
	swap change = "switch"
)

// nextLeaf decides about the served leaf. trustedSince is since when the live bundles verify a leaf of active, zero if
// they don't.
func nextLeaf(served *leaf, active *pair, trustedSince, now time.Time) change {
	switch {
	case active == nil || !validAt(active.Cert, now):
		return keep // nothing to sign with
	case served == nil || !validAt(served.crt, now.Add(spare)):
		return swap // nothing left to protect
	case served.signedBy(active.Cert):
		if now.Before(served.at) {
			return keep
		}
		return swap
	case trustedSince.IsZero() || now.Sub(trustedSince) < settle:
		return hold
	default:
		return swap
	}
}

// syncLeaf signs and swaps the served leaf when it is time.
func (c *Controller) syncLeaf(ctx context.Context) error {
	c.mu.Lock()
	active := c.stored.Active
	c.mu.Unlock()
	served, now := c.leaf.Load(), c.Now()
	if served != nil && active != nil && !served.signedBy(active.Cert) {
		c.watchTrust(ctx, active, now)
	}
	if nextLeaf(served, active, c.since, now) != swap {
		return nil
	}
	fresh, err := active.newLeaf(c.names(), c.LeafDuration, now, c.Jitter())
	if err != nil {
		return err
	}
	c.leaf.Store(fresh)
	c.since = time.Time{}
	c.Log.Info("serving certificate signed", "ca", fingerprint(fresh.ca.Raw), "notAfter", fresh.crt.NotAfter, "renewAt", fresh.at)
	return nil
}

// watchTrust keeps since, looking at what the API server holds for us.
func (c *Controller) watchTrust(ctx context.Context, active *pair, now time.Time) {
	entries, err := c.entries(ctx)
	trusted := err == nil
	for _, e := range entries {
		trusted = trusted && contains(e.caBundle, active.Cert)
	}
	switch {
	case !trusted:
		c.since = time.Time{}
	case c.since.IsZero():
		c.since = now
	}
}

// names are the leaf's, the Service's own first.
func (c *Controller) names() []string {
	base := c.Service + "." + c.Namespace
	names := []string{base + ".svc", base, c.Service, fmt.Sprintf("%s.svc.%s", base, c.ClusterDomain)}
	return append(names, c.Hosts...)
}
