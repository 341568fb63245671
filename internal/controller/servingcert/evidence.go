package servingcert

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"slices"
	"time"

	"github.com/pillion-mesh/pillion/api/v1alpha1"
	"github.com/pillion-mesh/pillion/internal/controller/servingcert/probe"
	"github.com/pillion-mesh/pillion/internal/controller/servingcert/replicas"
	"github.com/pillion-mesh/pillion/internal/controller/servingcert/rotation"
)

// evidencePatience is how long all replicas, or all API servers, may take to answer.
const evidencePatience = 15 * time.Second

var errNoReplicas = errors.New("this operator can't look at its replicas")

// lookAtReplicas asks ready replicas what they serve: often while they change over, now and then for the status.
func (c *Controller) lookAtReplicas(ctx context.Context, s rotation.State, now time.Time) {
	l, every := c.leading, c.Times.Look
	if s.Phase != rotation.Steady {
		every = c.Times.ProbeEvery
	}
	if !l.looked.IsZero() && now.Sub(l.looked) < every && now.After(l.looked) {
		return
	}
	l.looked = now
	if c.Replicas == nil {
		l.replicas, l.blind = nil, errNoReplicas
		return
	}
	ctx, cancel := context.WithTimeout(ctx, evidencePatience)
	defer cancel()
	l.replicas, l.blind = c.Replicas.Look(ctx)
}

// seen is what replicas were seen to serve, and whether that is all of them.
func (c *Controller) seen(s stored, now time.Time) ([]rotation.Endpoint, bool) {
	var endpoints []rotation.Endpoint
	complete := c.leading.blind == nil
	for _, r := range c.leading.replicas {
		if r.Leaf == nil {
			complete = false
			continue
		}
		endpoints = append(endpoints, rotation.Endpoint{CA: c.issuer(s, r, now), Ends: r.Leaf.NotAfter})
	}
	return endpoints, complete
}

// issuer is the CA among those we know that verifies what a replica serves; "?" is none of them.
func (c *Controller) issuer(s stored, r replicas.Served, now time.Time) rotation.ID {
	for _, known := range []*leaf{c.leaf.Load(), c.pair} {
		if known != nil && known.crt.Equal(r.Leaf) {
			return known.id
		}
	}
	for id, a := range s.cas {
		roots := x509.NewCertPool()
		roots.AddCert(a.Cert)
		options := x509.VerifyOptions{Roots: roots, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}
		if c.pair != nil {
			options.Intermediates = c.pair.intermediates()
		}
		if _, err := r.Leaf.Verify(options); err == nil {
			return id
		}
	}
	return "?"
}

// lookAtBundles keeps since when every bundle verifies a leaf of next. It reads past the cache: what counts is what API
// servers will see.
func (c *Controller) lookAtBundles(ctx context.Context, s stored, now time.Time) {
	l := c.leading
	l.why = nil
	if s.Phase != rotation.Introduce && s.Phase != rotation.Propagate {
		l.trusted.Look(false, "", now, c.Times.Stale)
		return
	}
	entries, err := c.owned(ctx)
	candidate, fault := c.sample(s.cas[s.Next.ID], now)
	if err := errors.Join(err, fault); err != nil {
		l.why = err
		l.trusted.Look(false, "", now, c.Times.Stale)
		return
	}
	trusted, _ := weigh(entries, c.leaf.Load(), candidate, now)
	for _, e := range entries {
		if err := e.verify(candidate, now); err != nil && !trusted {
			l.why = err
		}
	}
	l.trusted.Look(trusted, string(s.Next.ID)+versionOf(entries), now, c.Times.Stale)
}

// sample is a leaf of a CA that could be served.
func (c *Controller) sample(a *authority, now time.Time) (*leaf, error) {
	switch {
	case a == nil:
		return nil, errors.New("the next CA isn't known")
	case a.Key != nil:
		return c.prepare(a, now)
	case c.pair != nil && c.pair.id == idOf(a.Cert):
		return c.pair, nil
	}
	return nil, fmt.Errorf("there is no certificate of CA %s any more", idOf(a.Cert))
}

// lookThroughServers asks each API server to call the webhook, where it is shown the leaf that is served next.
func (c *Controller) lookThroughServers(ctx context.Context, s stored, now time.Time) {
	l, every := c.leading, time.Minute
	if s.Phase == rotation.Propagate {
		every = c.Times.ProbeEvery
	} else {
		l.probe = rotation.ProbeUnknown
	}
	if c.Prober == nil || now.Sub(l.probed) < every && now.After(l.probed) {
		return
	}
	l.probed = now
	ctx, cancel := context.WithTimeout(ctx, evidencePatience)
	defer cancel()
	if c.Settings().Probe == v1alpha1.ProbeOff {
		l.probe = rotation.ProbeUnknown
		c.logFault(c.Prober.Keep(ctx, nil), "removing the probe")
		return
	}
	bundle := c.bundle(now)
	if len(bundle) == 0 {
		return // the Secret isn't written yet
	}
	if err := c.Prober.Keep(ctx, bundle); err != nil {
		l.probe = rotation.ProbeUnknown
		c.logFault(err, "keeping the probe")
		return
	}
	answers, err := c.Prober.Cover(ctx, c.podNames())
	c.logFault(err, "probing")
	if result := l.judge(answers, err, string(s.Next.ID), c.podNames()); s.Phase == rotation.Propagate {
		l.probe = result
	}
}

// podNames are the replicas that have to answer. An address is no name: who answers there calls itself something else.
func (c *Controller) podNames() []string {
	var names []string
	for _, r := range c.leading.replicas {
		if _, _, err := net.SplitHostPort(r.Name); err != nil && net.ParseIP(r.Name) == nil {
			names = append(names, r.Name)
		}
	}
	return names
}

// judge is what answers prove. An API server that once didn't trust next has to say itself that it does now.
func (l *leading) judge(answers []probe.Answer, err error, next string, names []string) rotation.Probe {
	distrust := map[string]error{}
	passed := err == nil && len(answers) > 0
	for _, a := range answers {
		switch {
		case a.Fault == nil && a.CA == next:
			names = slices.DeleteFunc(names, func(name string) bool { return name == a.Replica })
			continue
		case a.Reached && a.Result == probe.ResultX509:
			distrust[a.Server] = fmt.Errorf("API server %s: %w", a.Server, a.Fault)
		case l.distrust[a.Server] != nil:
			distrust[a.Server] = l.distrust[a.Server]
		}
		passed = false
	}
	l.distrust = distrust
	switch {
	case len(distrust) > 0:
		return rotation.ProbeRefused
	case passed && len(names) == 0:
		return rotation.ProbePassed
	}
	return rotation.ProbeUnknown
}
