package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/duration"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/pillion-mesh/pillion/api/v1alpha1"
)

// ErrTimedOut is of waiting: what was started goes on by itself.
var ErrTimedOut = errors.New("timed out")

// ErrNotPossible says that there is nothing to rotate here, or not now.
var ErrNotPossible = errors.New("not possible")

// Rotate starts a rotation of the operator's own CA and follows it.
type Rotate struct {
	Client      client.Client
	Identity    Identity
	Compromised bool          // the old CA is dropped as soon as nobody serves it
	Wait        bool          // follow it
	ToTheEnd    bool          // until the old CA is dropped; else until every replica serves the new one
	Timeout     time.Duration // of following
	Progress    io.Writer
	Now         func() time.Time
	Every       time.Duration // how often to look

	injector string // whose status tells of replicas; "": none that may be read
}

// takeWithin is how long a leader may take to begin: it looks at each change of the Secret.
const takeWithin = 30 * time.Second

// Run returns once the rotation got as far as was asked for.
func (r *Rotate) Run(ctx context.Context) error {
	if err := r.checkSource(ctx); err != nil {
		return err
	}
	before, err := r.ask(ctx)
	if err != nil || !r.Wait {
		return err
	}
	return r.follow(ctx, before)
}

// checkSource refuses where others make the certificates. Who may not read Injectors learns it from the Secret.
func (r *Rotate) checkSource(ctx context.Context) error {
	found, err := ReadCertificates(ctx, r.Client, r.Identity, r.Now())
	if err != nil {
		return err
	}
	if r.injector = found.Injector; found.Status == nil {
		return nil
	}
	cannot := &Failure{What: "rotating the serving CA of " + found.Service}
	switch found.Status.Source {
	case v1alpha1.CertificatesCertManager:
		cannot.Why = fmt.Errorf("%w: cert-manager issues the certificate", ErrNotPossible)
		cannot.Try = []string{
			fmt.Sprintf("cmctl renew -n %s %s-serving    # a new certificate", r.Identity.Namespace, r.Identity.Service),
			fmt.Sprintf("cmctl renew -n %s %s-ca         # a new CA, if Injector %s names no issuerRef", r.Identity.Namespace, r.Identity.Service, found.Injector),
			"then pillion certs, to see the operator take it",
		}
	case v1alpha1.CertificatesProvided:
		cannot.Why = fmt.Errorf("%w: the certificate is yours, in a Secret or in files", ErrNotPossible)
		cannot.Try = []string{
			"put the new tls.crt, tls.key and ca.crt there; the operator changes over when API servers trust them",
			"then pillion certs, to see it do so",
		}
	default:
		return nil
	}
	return cannot
}

// ask puts the annotation on the Secret, unless a rotation is under way. What it returns is how the Secret was before.
func (r *Rotate) ask(ctx context.Context) (*metav1.PartialObjectMetadata, error) {
	const attempts = 5
	for range attempts {
		secret, err := secretMetadata(ctx, r.Client, r.Identity)
		if apierrors.IsNotFound(err) {
			return nil, &Failure{What: "reading Secret " + r.secret(), Why: err, Try: []string{"kubectl get deployments -n " + r.Identity.Namespace + ", to see whether an operator runs; it makes the Secret", "-i NAMESPACE and --service NAME, for an operator elsewhere"}}
		}
		if err != nil {
			return nil, r.forbidden("reading the metadata of Secret "+r.secret(), "get", err)
		}
		if err := r.underWay(secret); err != nil {
			return nil, err
		}
		wanted := r.value()
		asked := secret.DeepCopy()
		if asked.Annotations == nil {
			asked.Annotations = map[string]string{}
		}
		asked.Annotations[v1alpha1.AnnotationRotate] = wanted
		// With the version, so that no second rotation starts right after one that began in between.
		err = r.Client.Patch(ctx, asked, client.MergeFromWithOptions(secret, client.MergeFromWithOptimisticLock{}))
		if apierrors.IsConflict(err) {
			continue
		}
		if err != nil {
			return nil, r.forbidden("asking for a rotation in Secret "+r.secret(), "patch", err)
		}
		r.say("asked for a rotation: Secret %s has %s: %s", r.secret(), v1alpha1.AnnotationRotate, wanted)
		return secret, nil
	}
	return nil, fmt.Errorf("asking for a rotation in Secret %s: it changed %d times meanwhile\n  try: again", r.secret(), attempts)
}

func (r *Rotate) value() string {
	if r.Compromised {
		return v1alpha1.RotateCompromised
	}
	return v1alpha1.RotateNow
}

// underWay refuses a second rotation during one, which Retire makes an hour long. Who has lost a key needn't wait for that.
func (r *Rotate) underWay(secret *metav1.PartialObjectMetadata) error {
	phase := phaseOf(secret)
	if phase == v1alpha1.PhaseSteady || r.Compromised {
		return nil
	}
	return &Failure{
		What: "rotating the serving CA of " + r.Identity.Namespace + "/" + r.Identity.Service,
		Why:  fmt.Errorf("%w now: a rotation is under way, in phase %s since %s", ErrNotPossible, phase, or(secret.Annotations[v1alpha1.AnnotationPhaseSince], "an unknown time")),
		Try:  []string{"pillion certs, to see how far it is", "again when its phase is " + v1alpha1.PhaseSteady, "--compromised, if its key is in wrong hands: that doesn't wait"},
	}
}

func phaseOf(secret *metav1.PartialObjectMetadata) string {
	return or(secret.Annotations[v1alpha1.AnnotationPhase], v1alpha1.PhaseSteady)
}

func (r *Rotate) secret() string {
	return r.Identity.Namespace + "/" + v1alpha1.ServingCASecret(r.Identity.Service)
}

func (r *Rotate) forbidden(what, verb string, err error) error {
	if apierrors.IsForbidden(err) {
		return &Failure{What: what, Why: err, Try: []string{fmt.Sprintf("with the permission to %s secrets %s in namespace %s", verb, v1alpha1.ServingCASecret(r.Identity.Service), r.Identity.Namespace)}}
	}
	return failed(what, err)
}

func (r *Rotate) say(format string, args ...any) {
	fmt.Fprintf(r.Progress, format+"\n", args...)
}

// follow says each phase until the rotation is as far as was asked for.
func (r *Rotate) follow(ctx context.Context, before *metav1.PartialObjectMetadata) error {
	f := following{Rotate: r, before: before, start: r.Now()}
	tick := time.NewTicker(r.Every)
	defer tick.Stop()
	for {
		done, err := f.look(ctx)
		if done || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("no longer following: %w; the rotation goes on by itself, and pillion certs shows it", context.Cause(ctx))
		case <-tick.C:
		}
	}
}

// noLeader says why nobody takes the rotation on.
func (r *Rotate) noLeader(ctx context.Context) error {
	lease := &coordinationv1.Lease{}
	key := client.ObjectKey{Namespace: r.Identity.Namespace, Name: r.Identity.Lease}
	why := "its leader hasn't looked at the Secret"
	switch err := r.Client.Get(ctx, key, lease); {
	case apierrors.IsNotFound(err):
		why = "no replica leads: there is no Lease " + key.String()
	case err != nil:
		why = "whether a replica leads can't be found out: " + err.Error()
	default:
		if l := leader(lease, r.Now()); !l.Alive {
			why = "no replica leads: Lease " + key.String() + " was never renewed"
			if l.Renewed != nil {
				why = fmt.Sprintf("no replica leads: Lease %s was last renewed %s ago", key, duration.HumanDuration(r.Now().Sub(l.Renewed.Time)))
			}
		} else {
			why += ": it is " + l.Name
		}
	}
	return &Failure{
		What: "waiting for the rotation to begin",
		Why:  fmt.Errorf("%w after %s: %s", ErrTimedOut, takeWithin, why),
		Try: []string{
			"kubectl get pods -n " + r.Identity.Namespace + ", and the log of the operator; the next leader begins the rotation",
			fmt.Sprintf("kubectl annotate secret -n %s %s %s-, to take the request back", r.Identity.Namespace, v1alpha1.ServingCASecret(r.Identity.Service), v1alpha1.AnnotationRotate),
		},
	}
}
