package servingcert

import (
	"context"
	"fmt"
	"net"
	"sync/atomic"
	"time"

	"github.com/pillion-mesh/pillion/internal/controller/servingcert/probe"
	"github.com/pillion-mesh/pillion/internal/controller/servingcert/replicas"
	"github.com/pillion-mesh/pillion/internal/controller/servingcert/rotation"
)

// evidencePatience is how long all replicas, or all API servers, may take to answer.
const evidencePatience = 15 * time.Second

// eyes see what takes long to see, beside the looks: a leader that waits for others must still renew its own leaf.
type eyes struct {
	questions chan question // one waits at most
	seen      atomic.Pointer[sighting]
	heard     atomic.Pointer[hearing]
}

// question is what a leader wants to know.
type question struct {
	replicas, servers bool        // which of them to ask
	next              rotation.ID // what answers are to be about
	bundle            []byte      // the probe's; nil: there must be none
}

// sighting is what replicas were seen to serve.
type sighting struct {
	at     time.Time // when the look began
	served []replicas.Served
	fault  error // why they aren't known
}

// hearing is what API servers said.
type hearing struct {
	at       time.Time
	about    rotation.ID
	replicas []string // that had to answer
	answers  []probe.Answer
	fault    error
}

func newEyes() eyes { return eyes{questions: make(chan question, 1)} }

// ask is false if another question waits: then there will be another time.
func (e *eyes) ask(q question) bool {
	select {
	case e.questions <- q:
		return true
	default:
		return false
	}
}

// lookAround answers questions until ctx ends.
func (c *Controller) lookAround(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case q := <-c.eyes.questions:
			c.answer(ctx, q)
			c.Wake()
		}
	}
}

func (c *Controller) answer(ctx context.Context, q question) {
	if !c.Leader() {
		return // any more
	}
	if q.replicas {
		c.eyes.seen.Store(c.lookAtReplicas(ctx))
	}
	if q.servers {
		c.eyes.heard.Store(c.askServers(ctx, q))
	}
}

func (c *Controller) lookAtReplicas(ctx context.Context) *sighting {
	s := &sighting{at: c.Now(), fault: errNoReplicas}
	if c.Replicas == nil {
		return s
	}
	ctx, cancel := context.WithTimeout(ctx, evidencePatience)
	defer cancel()
	s.served, s.fault = c.Replicas.Look(ctx)
	return s
}

// askServers has each API server call the webhook, where it is shown the leaf that is served next.
func (c *Controller) askServers(ctx context.Context, q question) *hearing {
	h := &hearing{at: c.Now(), about: q.next, replicas: c.podNames()}
	ctx, cancel := context.WithTimeout(ctx, evidencePatience)
	defer cancel()
	if err := c.Prober.Keep(ctx, q.bundle); err != nil {
		h.fault = fmt.Errorf("keeping the probe, or its absence: %w", err)
		return h
	}
	if q.bundle != nil {
		h.answers, h.fault = c.Prober.Cover(ctx, h.replicas)
	}
	return h
}

// podNames are the replicas that have to answer. An address is no name: who answers there calls itself something else.
func (c *Controller) podNames() []string {
	seen := c.eyes.seen.Load()
	if seen == nil {
		return nil
	}
	var names []string
	for _, r := range seen.served {
		if _, _, err := net.SplitHostPort(r.Name); err != nil && net.ParseIP(r.Name) == nil {
			names = append(names, r.Name)
		}
	}
	return names
}
