package servingcert

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pillion-mesh/pillion/api/v1alpha1"
	"github.com/pillion-mesh/pillion/internal/controller/servingcert/replicas"
)

// TestStatusTellsOfEachPhase: who serves what, what is trusted and why, and when it goes on.
func TestStatusTellsOfEachPhase(t *testing.T) {
	w := newWorld(t)
	a, b := w.replica("a"), w.replica("b")
	a.Replicas, b.Replicas = looks{a, b}, looks{a, b}
	if a.Status() != nil {
		t.Error("a status before anything was looked at")
	}
	w.step(a, b)
	w.publish(a.Bundle())
	w.live(32*time.Second, a, b) // replicas are looked at twice a minute
	old := string(a.leaf.Load().id)

	s := a.Status()
	third := a.remembered().Active.NotAfter.Add(-365 * 24 * time.Hour / 3)
	w.tells(s, v1alpha1.PhaseSteady, "active "+old)
	if s.Source != v1alpha1.CertificatesSelfManaged || s.NextRotation == nil || s.NextRotation.Sub(third).Abs() > 24*time.Hour || s.Rotation != 0 {
		t.Errorf("%+v, next rotation %v, want about %v", s, s.NextRotation, third)
	}
	if got := w.served(s); got != "pillion-0 "+old+", pillion-1 "+old {
		t.Error(got)
	}
	if b.Status().Replicas != nil {
		t.Error("who doesn't lead tells what replicas serve")
	}

	w.ask("true")
	w.live(2*time.Second, a, b)
	next := string(a.remembered().Next.ID)
	s = a.Status()
	w.tells(s, v1alpha1.PhasePropagate, "active "+old, "next "+next)
	if s.NextRotation != nil || s.Rotation != 1 || s.Since == nil {
		t.Errorf("%+v", s)
	}
	w.live(3*time.Minute+30*time.Second, a, b)
	s = a.Status()
	w.tells(s, v1alpha1.PhaseRetire, "active "+next, "prev "+old)
	if got := w.served(s); got != "pillion-0 "+next+", pillion-1 "+next {
		t.Error(got)
	}
}

// TestStatusTellsWhoCantBeSeen.
func TestStatusTellsWhoCantBeSeen(t *testing.T) {
	w := newWorld(t)
	a := w.replica("a")
	a.Replicas = unseen{}
	w.step(a)
	w.publish(a.Bundle())
	w.live(2*time.Second, a)
	if s := a.Status(); len(s.Replicas) != 1 || s.Replicas[0].Fault != "connection refused" || s.Replicas[0].CA != "" || s.Replicas[0].NotAfter != nil {
		t.Errorf("%+v", s.Replicas)
	}
}

type unseen struct{}

func (unseen) Look(context.Context) ([]replicas.Served, error) {
	return []replicas.Served{{Name: "pillion-0", Address: "10.0.0.9:15017", Fault: errors.New("connection refused")}}, nil
}

// tells wants a phase, and CAs with their roles in order.
func (w *world) tells(s *v1alpha1.CertificatesStatus, phase string, cas ...string) {
	w.t.Helper()
	var got []string
	for _, ca := range s.CAs {
		got = append(got, ca.Role+" "+ca.Fingerprint)
		if ca.NotAfter.IsZero() {
			w.t.Errorf("CA %s has no end", ca.Role)
		}
	}
	if s.Phase != phase || !slices.Equal(got, cas) {
		w.t.Errorf("phase %s with %q, want %s with %q", s.Phase, got, phase, cas)
	}
}

func (w *world) served(s *v1alpha1.CertificatesStatus) string {
	var all []string
	for _, r := range s.Replicas {
		all = append(all, fmt.Sprint(r.Name, " ", r.CA))
	}
	return strings.Join(all, ", ")
}
