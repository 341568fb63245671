package servingcert

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pillion-mesh/pillion/api/v1alpha1"
	"github.com/pillion-mesh/pillion/internal/controller/servingcert/pairs"
	"github.com/pillion-mesh/pillion/internal/controller/servingcert/probe"
	"github.com/pillion-mesh/pillion/internal/controller/servingcert/replicas"
	"github.com/pillion-mesh/pillion/internal/controller/servingcert/rotation"
)

func TestJudge(t *testing.T) {
	fault := errors.New("x509: certificate signed by unknown authority")
	ok := func(server, replica string) probe.Answer {
		return probe.Answer{Server: server, Replica: replica, CA: "next", Reached: true, Result: probe.ResultOK}
	}
	refuses := func(server string) probe.Answer {
		return probe.Answer{Server: server, Reached: true, Result: probe.ResultX509, Fault: fault}
	}
	silent := func(server, result string, reached bool) probe.Answer {
		return probe.Answer{Server: server, Reached: reached, Result: result, Fault: errors.New("no answer")}
	}
	type answers []probe.Answer
	for _, c := range []struct {
		name     string
		before   []string // who distrusted next already
		answers  answers
		err      error
		names    []string
		want     rotation.Probe
		distrust []string
	}{
		{name: "nobody answered", want: rotation.ProbeUnknown},
		{name: "the only one trusts", answers: answers{ok("1", "a")}, names: []string{"a"}, want: rotation.ProbePassed},
		{name: "replicas have no names", answers: answers{ok("1", "a")}, want: rotation.ProbePassed},
		{name: "each trusts, each replica answered one of them", answers: answers{ok("1", "a"), ok("2", "b")}, names: []string{"a", "b"}, want: rotation.ProbePassed},
		{name: "a replica never answered", answers: answers{ok("1", "a"), ok("2", "a")}, names: []string{"a", "b"}, want: rotation.ProbeUnknown},
		{name: "time ran out", answers: answers{ok("1", "a")}, err: context.DeadlineExceeded, names: []string{"a"}, want: rotation.ProbeUnknown},
		{name: "one doesn't trust", answers: answers{ok("1", "a"), refuses("2")}, names: []string{"a"}, want: rotation.ProbeRefused, distrust: []string{"2"}},
		{name: "one couldn't be reached", answers: answers{ok("1", "a"), silent("2", probe.ResultOther, false)}, names: []string{"a"}, want: rotation.ProbeUnknown},
		{name: "x509 of a way to the API server says nothing of what it trusts", answers: answers{ok("1", "a"), silent("2", probe.ResultX509, false)}, names: []string{"a"}, want: rotation.ProbeUnknown},
		{name: "there may be others", answers: answers{ok("1", "a"), silent("others", probe.ResultOther, false)}, names: []string{"a"}, want: rotation.ProbeUnknown},
		{name: "one couldn't call in time", answers: answers{ok("1", "a"), silent("2", probe.ResultTimeout, true)}, names: []string{"a"}, want: rotation.ProbeUnknown},
		{name: "shown a leaf of another CA", answers: answers{{Server: "1", Replica: "a", CA: "active", Reached: true}}, names: []string{"a"}, want: rotation.ProbeUnknown},
		{name: "who didn't trust can't be reached now", before: []string{"2"}, answers: answers{ok("1", "a"), silent("2", probe.ResultTimeout, false)}, names: []string{"a"},
			want: rotation.ProbeRefused, distrust: []string{"2"}},
		{name: "who didn't trust does now", before: []string{"2"}, answers: answers{ok("1", "a"), ok("2", "a")}, names: []string{"a"}, want: rotation.ProbePassed},
		{name: "who didn't trust is gone", before: []string{"2"}, answers: answers{ok("1", "a")}, names: []string{"a"}, want: rotation.ProbePassed},
	} {
		l := &leading{distrust: map[string]error{}}
		for _, server := range c.before {
			l.distrust[server] = fault
		}
		names := slices.Clone(c.names)
		if got := l.judge(c.answers, c.err, "next", c.names); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
		if got := slices.Sorted(maps.Keys(l.distrust)); !slices.Equal(got, c.distrust) {
			t.Errorf("%s: %v don't trust, want %v", c.name, got, c.distrust)
		}
		if !slices.Equal(names, c.names) {
			t.Errorf("%s: the caller's names are %v now", c.name, c.names)
		}
	}
}

// TestFault is what the condition says: the first of what is wrong, with what to do about it.
func TestFault(t *testing.T) {
	w := newWorld(t)
	a := w.replica("a")
	w.step(a)
	stuck := func(l *leading) { l.stuck = true }
	other := leafOf(t, ca(t, time.Hour), time.Hour)
	for _, c := range []struct {
		name, reason, says string
		phase              rotation.Phase
		refused            error
		expiring           string
		lead               func(*leading)
	}{
		{name: "nothing"},
		{name: "refused", reason: pairs.KeyMismatch, says: "the key", refused: &pairs.Refused{Reason: pairs.KeyMismatch, Message: "the key is another's"}},
		{name: "refused, and something else", reason: "CertManagerMissing", says: "install",
			refused: errors.Join(&pairs.Refused{Reason: "CertManagerMissing", Message: "install cert-manager"}, errors.New("timeout"))},
		{name: "refused while the old one expires", reason: pairs.NoCA, refused: &pairs.Refused{Reason: pairs.NoCA}, expiring: "soon"},
		{name: "can't be read", reason: "Unreadable", says: "connection refused", refused: errors.New("connection refused")},
		{name: "expiring", reason: "Expiring", says: "ends at", expiring: "it ends at noon"},
		{name: "stuck, a bundle", reason: "RotationStuck", says: "phase Introduce since 2026-01-02T03:04:05Z; webhook w", phase: rotation.Introduce,
			lead: func(l *leading) { stuck(l); l.why = errors.New("webhook w") }},
		{name: "stuck, an API server", reason: "RotationStuck", says: "API server 10.0.0.1:6443 doesn't trust CA", phase: rotation.Propagate,
			lead: func(l *leading) { stuck(l); l.distrust = map[string]error{"10.0.0.1:6443": errors.New("x")} }},
		{name: "stuck, nobody looked", reason: "RotationStuck", says: "haven't been looked at", phase: rotation.Promote,
			lead: func(l *leading) { stuck(l); l.replicas = nil }},
		{name: "stuck, replicas", reason: "RotationStuck", says: "replica b serves a certificate of another CA than sha256:", phase: rotation.Promote,
			lead: func(l *leading) {
				stuck(l)
				l.replicas = &sighting{served: []replicas.Served{{Name: "b", Leaf: other.crt}, {Name: "c", Fault: errors.New("port 53124")}}}
			}},
	} {
		a.refused, a.expiring, a.leading = c.refused, c.expiring, &leading{}
		if c.lead != nil {
			c.lead(a.leading)
		}
		s := a.remembered()
		s.Phase = c.phase
		reason, message := a.fault(s)
		if reason != c.reason || !strings.Contains(message, c.says) || c.reason == "" && message != "" {
			t.Errorf("%s: %s: %q", c.name, reason, message)
		}
		if strings.Contains(message, "53124") {
			t.Errorf("%s: what differs at each look is in %q", c.name, message)
		}
	}
}

// hanging is a Prober that answers when the test says so, and Replicas that do.
type hanging struct{ kept, done chan struct{} }

func (h hanging) Keep(context.Context, []byte) error { h.kept <- struct{}{}; return nil }

func (h hanging) Cover(ctx context.Context, _ []string) ([]probe.Answer, error) {
	select {
	case <-h.done:
		return nil, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// TestAHangingAPIServerHoldsUpNoStep: while the leader waits for answers, it goes on looking.
func TestAHangingAPIServerHoldsUpNoStep(t *testing.T) {
	w := newWorld(t)
	a := w.replica("a")
	h := hanging{make(chan struct{}), make(chan struct{})}
	a.Prober = h
	a.Now = time.Now
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { ended <- a.Start(ctx) }()
	<-h.kept
	for range 3 {
		w.must(a.Step(ctx)) // that it returns is the point
	}
	if a.eyes.heard.Load() != nil {
		t.Error("an answer that nobody gave")
	}
	cancel()
	w.must(<-ended)
}

// TestANewLeaderLooksBeforeItWrites: what it knew as a follower may be what the last leader has since changed.
func TestANewLeaderLooksBeforeItWrites(t *testing.T) {
	w := newWorld(t)
	a, b := w.replica("a"), w.replica("b")
	w.step(a, b)
	changed := 0
	b.Changed = func() { changed++ }
	w.step(b)
	w.leader = "b"
	if b.Bundle() != nil {
		t.Error("it has a bundle although it hasn't looked since it leads")
	}
	w.step(b)
	if b.Bundle() == nil || changed == 0 {
		t.Errorf("it has looked, and nobody was told: %d", changed)
	}
}

// TestComplete: a change of source isn't, while somebody serves what the other source issued or might have to.
func TestComplete(t *testing.T) {
	w := newWorld(t)
	a := w.replica("a")
	seen := looks{a}
	a.Replicas = seen
	w.step(a)
	if _, complete := a.Complete(); complete {
		t.Error("nobody was looked at yet")
	}
	w.now = w.now.Add(time.Second)
	w.step(a)
	if source, complete := a.Complete(); !complete || source != v1alpha1.CertificatesSelfManaged {
		t.Errorf("all serve what is meant: %s %t", source, complete)
	}
	a.Settings = func() v1alpha1.Certificates { return v1alpha1.Certificates{Source: v1alpha1.CertificatesProvided} }
	a.Pairs = refusing{}
	w.now = w.now.Add(time.Second)
	w.step(a)
	if source, complete := a.Complete(); complete || source != v1alpha1.CertificatesProvided {
		t.Errorf("what is provided can't be served: %s %t", source, complete)
	}
}

// refusing is a source whose certificate can't be served.
type refusing struct{}

func (refusing) Candidate(context.Context, v1alpha1.Certificates, []string) (*pairs.Pair, error) {
	return nil, &pairs.Refused{Reason: pairs.KeyMismatch, Message: "the key is another's"}
}
