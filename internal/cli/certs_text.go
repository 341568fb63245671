package cli

import (
	"fmt"
	"io"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/duration"

	"github.com/pillion-mesh/pillion/api/v1alpha1"
	"github.com/pillion-mesh/pillion/internal/cli/table"
)

// Write prints certificates as people read them: the identity, what API servers trust, what replicas serve.
func (all *Certificates) Write(w io.Writer) error {
	all.writeIdentity(w)
	tables := []struct {
		headings []string
		rows     [][]string
	}{
		{[]string{"WEBHOOK", "CA", "NOT-AFTER", "ROLE", "STATE"}, all.bundleCells()},
		{[]string{"NAME", "ADDRESS", "CA", "NOT-AFTER", "STATE"}, all.replicaCells()},
	}
	for _, t := range tables {
		if len(t.rows) == 0 {
			continue
		}
		fmt.Fprintln(w)
		if err := table.Write(w, t.headings, t.rows); err != nil {
			return err
		}
	}
	if len(all.Problems)+len(all.Notes) > 0 {
		fmt.Fprintln(w)
	}
	for _, p := range all.Problems {
		fmt.Fprintf(w, "✘ %s\n", p)
	}
	for _, n := range all.Notes {
		fmt.Fprintf(w, "note: %s\n", n)
	}
	return nil
}

func (all *Certificates) writeIdentity(w io.Writer) {
	line := func(name, value string) { fmt.Fprintf(w, "%-15s%s\n", name+":", value) }
	line("Service", all.Service)
	if s := all.Status; s != nil {
		line("Source", string(s.Source))
		line("Phase", or(s.Phase, "-")+all.since(s.Since)+phaseMeans(s.Phase))
		line("Rotations", fmt.Sprint(s.Rotation))
		if s.NextRotation != nil {
			line("Next rotation", at(s.NextRotation)+" (in "+duration.HumanDuration(s.NextRotation.Sub(all.now))+")")
		}
	}
	if all.Asked != "" {
		line("Asked for", "a rotation ("+v1alpha1.AnnotationRotate+": "+all.Asked+"), not begun yet")
	}
	if all.Leader != nil {
		line("Leader", all.leaderText())
	}
}

func (all *Certificates) leaderText() string {
	l := all.Leader
	switch {
	case l.Renewed == nil:
		return "none"
	case !l.Alive:
		return fmt.Sprintf("none since %s (%s ago): all of this is as it was then", at(l.Renewed), duration.HumanDuration(all.now.Sub(l.Renewed.Time)))
	}
	return l.Name
}

func (all *Certificates) since(t *metav1.Time) string {
	if t == nil {
		return ""
	}
	return fmt.Sprintf(" since %s (%s)", at(t), duration.HumanDuration(all.now.Sub(t.Time)))
}

func phaseMeans(phase string) string {
	if means := meaning[phase]; means != "" {
		return ": " + means
	}
	return ""
}

// meaning is what is waited for in a phase.
var meaning = map[string]string{
	v1alpha1.PhaseIntroduce: "the new CA is being written into every webhook configuration",
	v1alpha1.PhasePropagate: "API servers take the new CA into use, and are asked whether they did",
	v1alpha1.PhasePromote:   "replicas change to certificates of the new CA",
	v1alpha1.PhaseRetire:    "every replica serves the new CA; the old one is trusted for a while yet",
}

func (all *Certificates) bundleCells() [][]string {
	var rows [][]string
	for _, b := range all.Bundles {
		rows = append(rows, []string{b.Webhook, or(short(b.CA), "-"), at(b.NotAfter), or(b.Role, "-"), b.State})
	}
	return rows
}

func (all *Certificates) replicaCells() [][]string {
	var rows [][]string
	if all.Status == nil {
		return nil
	}
	for i := range all.Status.Replicas {
		r := &all.Status.Replicas[i]
		rows = append(rows, []string{r.Name, or(r.Address, "-"), or(short(r.CA), "-"), at(r.NotAfter), replicaState(r, all.Status, all.now)})
	}
	return rows
}

// replicaState is why nothing is known, or what the CA of its certificate is to the operator.
func replicaState(r *v1alpha1.ReplicaCertificate, status *v1alpha1.CertificatesStatus, now time.Time) string {
	switch {
	case r.Fault != "":
		return r.Fault
	case r.NotAfter != nil && now.After(r.NotAfter.Time):
		return stateExpired
	}
	return or(role(status, r.CA), "unknown CA")
}

// short is a fingerprint as people compare it.
func short(fingerprint string) string {
	digits := strings.TrimPrefix(fingerprint, "sha256:")
	return digits[:min(len(digits), 12)]
}

func at(t *metav1.Time) string {
	if t == nil || t.IsZero() {
		return "-"
	}
	return t.UTC().Format(time.RFC3339)
}

func or(text, otherwise string) string {
	if text == "" {
		return otherwise
	}
	return text
}
