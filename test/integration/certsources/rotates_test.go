package certsources

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/pillion-mesh/pillion/api/v1alpha1"
)

// rotates does what leads to another CA, and wants every phase told of, with nobody serving the new CA before it is active.
func (e *env) rotates(source v1alpha1.CertificatesSource, cause func() (ca string)) (ca string) {
	e.T.Helper()
	before := e.active()
	history := e.watch()
	held := e.held()
	ca = cause()
	e.changed(source, ca)
	e.judge(history(), before, ca)
	e.Eventually("metrics tell of the phase in which the new leaf is held back", func() error {
		if now := e.held(); now <= held {
			return fmt.Errorf("%d such phases before, %d after", held, now)
		}
		return nil
	})
	return ca
}

// held is how many phases of holding a new leaf back replicas have counted.
func (e *env) held() (n int) {
	e.T.Helper()
	for _, r := range e.replicas {
		value, err := r.Metric(e.Ctx(), `pillion_serving_cert_phase_seconds_count{phase="Propagate"}`)
		must(e.T, err)
		count, _ := strconv.Atoi(value) // "": none yet
		n += count
	}
	return n
}

// rotatesBack has the operator make a CA of its own again.
func (e *env) rotatesBack() {
	e.T.Helper()
	e.rotates(v1alpha1.CertificatesSelfManaged, func() string {
		e.use(v1alpha1.DefaultCertificates())
		next := ""
		e.Eventually("there is another CA", func() (err error) {
			next, err = e.next()
			return err
		})
		return next
	})
}

// next is the CA that the status says is.
func (e *env) next() (string, error) {
	s, err := e.certificates()
	if err != nil {
		return "", err
	}
	for _, ca := range s.CAs {
		if ca.Role == v1alpha1.RoleNext {
			return ca.Fingerprint, nil
		}
	}
	return "", fmt.Errorf("there is none: %+v", s.CAs)
}

// someMetric is an error unless some replica has a sample.
func (e *env) someMetric(sample, want string) error {
	var seen []string
	for _, r := range e.replicas {
		value, err := r.Metric(e.Ctx(), sample)
		if err == nil && value == want {
			return nil
		}
		seen = append(seen, fmt.Sprint(r.Name, ": ", value, " ", err))
	}
	return fmt.Errorf("%s is %q", sample, seen)
}

// look is a status, and when it was seen.
type look struct {
	*v1alpha1.CertificatesStatus
	after time.Duration
}

// watch keeps every status from now on. A watch of the API server's may end at any time; a look each 50 ms doesn't.
func (e *env) watch() (end func() []look) {
	ctx, cancel := context.WithCancel(e.Ctx())
	start := time.Now()
	var all []look
	done := make(chan struct{})
	go func() {
		defer close(done)
		ticker := time.NewTicker(50 * time.Millisecond)
		defer ticker.Stop()
		for ctx.Err() == nil {
			if s, err := e.certificates(); err == nil {
				all = append(all, look{s, time.Since(start)})
			}
			select {
			case <-ticker.C:
			case <-ctx.Done():
			}
		}
	}()
	return func() []look {
		cancel()
		<-done
		return all
	}
}

// judge wants the phases in order, and in those in which replicas hold on to the old CA nobody with the new one.
func (e *env) judge(history []look, before, after string) {
	e.T.Helper()
	var phases, told []string
	for _, s := range history {
		if len(phases) == 0 || phases[len(phases)-1] != s.Phase {
			phases = append(phases, s.Phase)
			told = append(told, fmt.Sprintf("%s after %.1fs", s.Phase, s.after.Seconds()))
		}
		if s.Phase != v1alpha1.PhaseIntroduce && s.Phase != v1alpha1.PhasePropagate {
			continue
		}
		want := map[string]string{v1alpha1.RoleActive: before, v1alpha1.RoleNext: after}
		for _, ca := range s.CAs {
			if want[ca.Role] != "" && want[ca.Role] != ca.Fingerprint {
				e.T.Errorf("in phase %s, %s is %s; want %s", s.Phase, ca.Role, ca.Fingerprint, want[ca.Role])
			}
		}
		for _, r := range s.Replicas {
			if r.CA != before {
				e.T.Errorf("in phase %s, replica %s serves %s", s.Phase, r.Name, r.CA)
			}
		}
	}
	e.T.Logf("to %s: %s", after, strings.Join(told, ", "))
	for _, phase := range []string{v1alpha1.PhasePropagate, v1alpha1.PhaseRetire, v1alpha1.PhaseSteady} {
		if !slices.Contains(phases, phase) {
			e.T.Errorf("the status told of phases %v only", phases)
		}
	}
}
