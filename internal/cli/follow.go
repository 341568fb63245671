package cli

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/duration"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/pillion-mesh/pillion/api/v1alpha1"
)

// following is how much of a rotation was seen.
type following struct {
	*Rotate
	before *metav1.PartialObjectMetadata
	start  time.Time
	begun  bool
	phase  string // said last
	said   string // of replicas, likewise
}

// look reads the Secret once, and says what is new.
func (f *following) look(ctx context.Context) (done bool, err error) {
	secret, err := secretMetadata(ctx, f.Client, f.Identity)
	if err != nil {
		if lasting(err) {
			return false, f.forbidden("following the rotation in Secret "+f.secret(), "get", err)
		}
		return false, f.expired("the API server can't be reached: " + err.Error())
	}
	phase := phaseOf(secret)
	f.begun = f.begun || phase != v1alpha1.PhaseSteady && phaseOf(f.before) == v1alpha1.PhaseSteady ||
		secret.Annotations[v1alpha1.AnnotationRotation] != f.before.Annotations[v1alpha1.AnnotationRotation]
	if !f.begun {
		if f.Now().Sub(f.start) > takeWithin {
			return false, f.noLeader(ctx)
		}
		return false, nil
	}
	left := f.replicasLeft(ctx, phase)
	f.tell(phase, left)
	if f.reached(phase) {
		return true, nil
	}
	return false, f.expired("in phase " + phase + left)
}

// lasting says whether trying again is in vain. An API server may be away for a moment, also because of us.
func lasting(err error) bool {
	return apierrors.IsForbidden(err) || apierrors.IsUnauthorized(err) || apierrors.IsNotFound(err)
}

// reached: in Retire every replica was seen to serve the new CA.
func (f *following) reached(phase string) bool {
	return phase == v1alpha1.PhaseSteady || phase == v1alpha1.PhaseRetire && !f.ToTheEnd
}

// tell says a phase when it begins, and while replicas change over which of them are still to come.
func (f *following) tell(phase, left string) {
	if phase != f.phase {
		f.phase = phase
		f.say("%-10s %s", phase, f.expect(phase))
	}
	if left != "" && left != f.said {
		f.said = left
		f.say("%-10s %s", "", strings.TrimPrefix(left, ": "))
	}
}

// expect is what a phase waits for and how long that usually takes.
func (f *following) expect(phase string) string {
	if phase == v1alpha1.PhaseSteady {
		return fmt.Sprintf("the rotation is complete: the old CA is no longer trusted (%s in all)", duration.HumanDuration(f.Now().Sub(f.start)))
	}
	takes := map[string]string{v1alpha1.PhaseIntroduce: "about 2s", v1alpha1.PhasePropagate: "about 65s", v1alpha1.PhasePromote: "30s to 60s", v1alpha1.PhaseRetire: "1h; nobody needs to wait for it"}
	if f.Compromised {
		takes = map[string]string{v1alpha1.PhaseIntroduce: "about 2s", v1alpha1.PhasePropagate: "about 5s", v1alpha1.PhasePromote: "about 10s", v1alpha1.PhaseRetire: "about 5s"}
	}
	if takes[phase] == "" {
		return "a phase this version doesn't know; the operator is newer"
	}
	return meaning[phase] + " (" + takes[phase] + ")"
}

// replicasLeft names the replicas that don't serve the new CA yet, as far as the status of an Injector says.
func (f *following) replicasLeft(ctx context.Context, phase string) string {
	if phase != v1alpha1.PhasePromote || f.injector == "" {
		return ""
	}
	var inj v1alpha1.Injector
	err := f.Client.Get(ctx, client.ObjectKey{Name: f.injector}, &inj)
	status := inj.Status.Certificates
	if err != nil || status == nil || status.Phase != phase { // not what is of now
		return ""
	}
	var left []string
	for _, r := range status.Replicas {
		switch {
		case r.Fault != "":
			left = append(left, r.Name+" ("+r.Fault+")")
		case role(status, r.CA) != v1alpha1.RoleActive:
			left = append(left, r.Name)
		}
	}
	if len(left) == 0 {
		return ""
	}
	slices.Sort(left)
	return fmt.Sprintf(": %d of %d replicas still to change: %s", len(left), len(status.Replicas), strings.Join(left, ", "))
}

// expired gives up when it is time.
func (f *following) expired(state string) error {
	if f.Now().Sub(f.start) <= f.Timeout {
		return nil
	}
	return &Failure{
		What: "following the rotation",
		Why:  fmt.Errorf("%w after %s, %s", ErrTimedOut, f.Timeout, state),
		Try:  []string{"pillion certs; the rotation goes on by itself"},
	}
}
