package servingcert

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/pillion-mesh/pillion/internal/controller/servingcert/pairs"
	"github.com/pillion-mesh/pillion/internal/controller/servingcert/rotation"
)

// told is when each reason was last told, so that what lasts isn't told at each look. Who has the turn has it.
type told map[string]time.Time

// again is how long what lasts isn't told again.
const again = time.Hour

func (t told) due(reason string, now time.Time) bool {
	last, ok := t[reason]
	if ok && now.Sub(last) < again && !now.Before(last) {
		return false
	}
	t[reason] = now
	return true
}

// tell writes what happened to log, metrics and Events.
func (c *Controller) tell(before, now stored, actions []rotation.Action) {
	if before.Phase != now.Phase || before.Count != now.Count {
		c.Log.Info("serving-cert phase", "from", before.Phase, "to", now.Phase, "rotation", now.Count,
			"active", now.Active.ID, "next", now.Next.ID, "since", now.Since)
		c.metrics.passed(before.State, now.Phase, c.Now())
	}
	for _, a := range actions {
		c.tellAction(a, now)
	}
}

func (c *Controller) tellAction(a rotation.Action, s stored) {
	switch a {
	case rotation.Started:
		c.Event(corev1.EventTypeNormal, "RotationStarted", fmt.Sprintf("the webhook's CA changes from %s to %s", short(s.Active), short(s.Next)))
	case rotation.Completed:
		c.metrics.rotations.WithLabelValues("completed").Inc()
		c.Event(corev1.EventTypeNormal, "RotationCompleted", fmt.Sprintf("every replica serves certificates of CA %s, and no other is trusted", short(s.Active)))
	case rotation.Recovered:
		c.metrics.rotations.WithLabelValues("recovered").Inc()
		c.Event(corev1.EventTypeWarning, "ServingCARecovered", "the webhook's CA had expired or could not be used; a new one is in place")
	case rotation.Refused:
		c.Event(corev1.EventTypeWarning, "RotationRefused", "the webhook's certificates are issued by others: ask them for a new one; the annotation was removed")
	case rotation.Skewed:
		if c.told.due("ClockSkew", c.Now()) {
			c.Event(corev1.EventTypeWarning, "ClockSkew", fmt.Sprintf("by this replica's clock the webhook's CA is valid only from %s: check the clocks of nodes",
				s.Active.NotBefore.UTC().Format(time.RFC3339)))
		}
	case rotation.Stuck:
		if c.told.due("RotationStuck", c.Now()) {
			c.Event(corev1.EventTypeWarning, "RotationStuck", c.stuck(s))
		}
	}
}

// stuck says what a phase waits for. It says the same as long as it waits for the same.
func (c *Controller) stuck(s stored) string {
	text := fmt.Sprintf("the change of the webhook's CA is in phase %s since %s", s.Phase, s.Since.UTC().Format(time.RFC3339))
	for _, what := range c.waitsFor(s) {
		text += "; " + what
	}
	return text
}

func (c *Controller) waitsFor(s stored) []string {
	l := c.leading
	switch {
	case l == nil:
		return nil
	case s.Phase == rotation.Promote, s.Phase == rotation.Retire:
		return c.waitsForReplicas(s)
	}
	var all []string
	if l.why != nil {
		all = append(all, l.why.Error())
	}
	for _, server := range slices.Sorted(maps.Keys(l.distrust)) {
		all = append(all, fmt.Sprintf("API server %s doesn't trust CA %s yet", server, short(s.Next)))
	}
	return all
}

// waitsForReplicas names those that serve something else, or can't be looked at: why, is in their place in the status.
func (c *Controller) waitsForReplicas(s stored) []string {
	if fault := c.leading.blind(); fault != nil {
		return []string{fault.Error()}
	}
	var all []string
	for _, r := range c.leading.replicas.served {
		switch {
		case r.Leaf == nil:
			all = append(all, fmt.Sprintf("replica %s can't be looked at", r.Name))
		case c.issuer(s, r, c.Now()) != s.Active.ID:
			all = append(all, fmt.Sprintf("replica %s serves a certificate of another CA than %s", r.Name, short(s.Active)))
		}
	}
	return all
}

// tellRefused tells of what others issued and can't be served.
func (c *Controller) tellRefused(err error) {
	if c.told.due("CertificateRefused "+err.Error(), c.Now()) {
		c.Log.Error(err, "certificate can't be served; what was served before is")
		c.Event(corev1.EventTypeWarning, "CertificateRefused", err.Error())
	}
}

// tellExpiring tells of what others issued and don't renew.
func (c *Controller) tellExpiring(p *pairs.Pair, renewed bool) {
	const reason = "CertificateExpiring"
	message, due := p.Expiring(renewed, c.Now(), c.told[reason])
	if c.expiring = message; due {
		c.told[reason] = c.Now()
		c.Event(corev1.EventTypeWarning, reason, message)
	}
}

// tellFault tells of a Secret that can't be used as it is.
func (c *Controller) tellFault(f found, want stored) {
	if f.fault == nil || !c.told.due("Secret "+f.fault.Error(), c.Now()) {
		return
	}
	what := "another CA takes its place"
	if want.says(c.remembered()) {
		what = "it is written again from memory"
	}
	c.Log.Info("serving CA in its Secret can't be used", "secret", f.secret.Name, "why", f.fault.Error(), "then", what)
}

func (c *Controller) logFault(err error, doing string) {
	if err != nil && c.told.due(doing, c.Now()) {
		c.Log.Error(err, doing)
	}
}

func short(c rotation.CA) string {
	const enough = len("sha256:") + 16
	return string(c.ID[:min(len(c.ID), enough)])
}

// complainAgain is how often an error that lasts is logged.
const complainAgain = time.Minute

// complaint is what was logged last.
type complaint struct {
	text string
	at   time.Time
}

// complain logs an error when it is another than the one before, or lasts.
func (c *Controller) complain(ctx context.Context, err error) {
	switch now := c.Now(); {
	case err == nil || ctx.Err() != nil:
		c.complaint = complaint{}
	case c.complaint.text == err.Error() && now.Sub(c.complaint.at) < complainAgain:
	case !c.Known():
		c.complaint = complaint{err.Error(), now}
		c.Log.Info("no serving certificate yet; waiting until every Injector was read")
	default:
		c.complaint = complaint{err.Error(), now}
		c.Log.Error(err, "serving certificate isn't as it should be; will try again")
	}
}
