package servingcert

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/pillion-mesh/pillion/api/v1alpha1"
	"github.com/pillion-mesh/pillion/internal/controller/servingcert/probe"
	"github.com/pillion-mesh/pillion/internal/controller/servingcert/replicas"
	"github.com/pillion-mesh/pillion/internal/controller/servingcert/rotation"
)

var (
	errNoReplicas = errors.New("this operator can't look at its replicas")
	errNotSeen    = errors.New("its replicas haven't been looked at yet")
)

// probeAnyway is how often API servers are asked when no phase needs it: their answers are a metric.
const probeAnyway = time.Minute

// ask has replicas looked at, and API servers asked, when it is time: often where a phase waits for it, now and then for
// status and metrics.
func (c *Controller) ask(s rotation.State, now time.Time) {
	l, q, looks, probes := c.leading, question{next: s.Next.ID, bundle: c.bundle(now)}, c.Times.Look, probeAnyway
	if s.Phase != rotation.Steady {
		looks = c.Times.ProbeEvery
	}
	if s.Phase == rotation.Propagate {
		probes = c.Times.ProbeEvery
	}
	q.replicas = elapsed(l.asked, looks, now)
	q.servers = c.Prober != nil && len(q.bundle) > 0 && elapsed(l.probed, probes, now)
	if c.Settings().Probe == v1alpha1.ProbeOff {
		q.bundle = nil
	}
	if !q.replicas && !q.servers || !c.eyes.ask(q) {
		return
	}
	if q.replicas {
		l.asked = now
	}
	if q.servers {
		l.probed = now
	}
}

// elapsed is true at first, when that much time has passed, and when the clock went back.
func elapsed(last time.Time, every time.Duration, now time.Time) bool {
	return last.IsZero() || now.Sub(last) >= every || now.Before(last)
}

// heedReplicas takes over what replicas were seen to serve, if that isn't too long ago.
func (c *Controller) heedReplicas(now time.Time) {
	l := c.leading
	if l.replicas = c.eyes.seen.Load(); l.replicas != nil && (l.replicas.at.Before(l.since) || age(now, &l.replicas.at) > c.Times.Stale) {
		l.replicas = nil
	}
}

// blind is why it isn't known what replicas serve.
func (l *leading) blind() error {
	if l.replicas == nil {
		return errNotSeen
	}
	return l.replicas.fault
}

// seen is what replicas were seen to serve, and whether that is all of them.
func (c *Controller) seen(s stored, now time.Time) ([]rotation.Endpoint, bool) {
	if c.leading.replicas == nil {
		return nil, false
	}
	var endpoints []rotation.Endpoint
	complete := c.leading.replicas.fault == nil
	for _, r := range c.leading.replicas.served {
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
		if !trusted && l.why == nil && e.verify(candidate, now) != nil {
			l.why = fmt.Errorf("webhook %s of %s: its caBundle doesn't have CA %s", e.name, e.configuration, s.Next.ID)
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

// heedServers judges what API servers answered about the present next, each answer once.
func (c *Controller) heedServers(s rotation.State, now time.Time) {
	l, heard := c.leading, c.eyes.heard.Load()
	fresh := heard != nil && heard != l.judged
	l.judged = heard
	if fresh {
		c.logFault(heard.fault, "asking API servers")
	}
	current := heard != nil && !heard.at.Before(l.since) && age(now, &heard.at) <= c.Times.Stale
	switch {
	case s.Phase != rotation.Propagate || !current || heard.about != s.Next.ID:
		l.probe, l.distrust = rotation.ProbeUnknown, map[string]error{}
	case fresh:
		l.probe = l.judge(heard.answers, heard.fault, string(s.Next.ID), heard.replicas)
	}
}

// judge is what answers prove. An API server that once didn't trust next has to say itself that it does now.
func (l *leading) judge(answers []probe.Answer, err error, next string, names []string) rotation.Probe {
	distrust := map[string]error{}
	names = slices.Clone(names)
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
