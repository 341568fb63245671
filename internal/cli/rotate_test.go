package cli

import (
	"bytes"
	"context"
	"errors"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/pillion-mesh/pillion/api/v1alpha1"
)

// acting is an operator that takes a step each time the Secret is looked at after it was asked to rotate; a step is the
// phase it goes to, "": it does nothing.
type acting struct {
	t     *testing.T
	steps []string
	now   time.Time
	away  error // of each look at the Secret after that
}

func (a *acting) get(ctx context.Context, c client.WithWatch, key client.ObjectKey, o client.Object, opts ...client.GetOption) error {
	if _, metadata := o.(*metav1.PartialObjectMetadata); !metadata {
		return c.Get(ctx, key, o, opts...)
	}
	a.now = a.now.Add(time.Second)
	var secret corev1.Secret
	if err := c.Get(ctx, key, &secret); err != nil {
		return err
	}
	asked := secret.Annotations[v1alpha1.AnnotationRotate] != "" || secret.Annotations[v1alpha1.AnnotationPhase] != v1alpha1.PhaseSteady
	if asked && a.away != nil {
		return a.away
	}
	if asked && len(a.steps) > 0 {
		if step := a.steps[0]; step != "" {
			secret.Annotations[v1alpha1.AnnotationPhase], secret.Annotations[v1alpha1.AnnotationRotation] = step, "4"
			delete(secret.Annotations, v1alpha1.AnnotationRotate)
			if err := c.Update(ctx, &secret); err != nil {
				a.t.Error(err)
			}
		}
		a.steps = a.steps[1:]
	}
	return c.Get(ctx, key, o, opts...)
}

func (a *acting) clock() time.Time { return a.now }

// rotation is a command on a cluster in which a acts.
func rotation(t *testing.T, a *acting, objects []client.Object) (*Rotate, *bytes.Buffer, client.Client) {
	t.Helper()
	a.t, a.now = t, noon
	var said bytes.Buffer
	c := cluster(t, objects, interceptor.Funcs{Get: a.get})
	return &Rotate{Client: c, Identity: system, Wait: true, Timeout: 5 * time.Minute, Progress: &said, Now: a.clock, Every: time.Microsecond}, &said, c
}

func steady(t *testing.T) []client.Object { return served(t, v1alpha1.PhaseSteady) }

const (
	i  = v1alpha1.PhaseIntroduce
	pp = v1alpha1.PhasePropagate
	pm = v1alpha1.PhasePromote
	re = v1alpha1.PhaseRetire
	st = v1alpha1.PhaseSteady
)

func TestRotateFollowsEachPhase(t *testing.T) {
	for _, row := range []struct {
		name        string
		compromised bool
		toTheEnd    bool
		wait        bool
		steps       []string
		left        int // steps not waited for
	}{
		{"promoted", false, false, true, []string{"", i, "", pp, "", pm, "", re, "", st}, 2},
		{"retired", false, true, true, []string{i, pp, pm, re, "", st}, 0},
		{"compromised", true, true, true, []string{i, pp, pm, re, st}, 0},
		{"too-quick-to-see", false, false, true, []string{st}, 0},
		{"no-wait", false, false, false, []string{i}, 1},
	} {
		t.Run(row.name, func(t *testing.T) {
			a := &acting{steps: row.steps}
			r, said, _ := rotation(t, a, steady(t))
			r.Compromised, r.ToTheEnd, r.Wait = row.compromised, row.toTheEnd, row.wait
			if err := r.Run(t.Context()); err != nil {
				t.Fatal(err)
			}
			if len(a.steps) != row.left {
				t.Errorf("%d steps left, want %d", len(a.steps), row.left)
			}
			golden(t, "certs/rotate-"+row.name+".txt", said.String())
		})
	}
}

// TestRotateSaysWhoIsLeft: while replicas change over, the status says which didn't yet.
func TestRotateSaysWhoIsLeft(t *testing.T) {
	objects := steady(t)
	objects[0].(*v1alpha1.Injector).Status.Certificates.Phase = pm
	a := &acting{steps: []string{pm, "", re}}
	r, said, _ := rotation(t, a, objects)
	if err := r.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	const want = "2 of 3 replicas still to change: pillion-6f7c-b, pillion-6f7c-c (connection refused)\n"
	if strings.Count(said.String(), want) != 1 {
		t.Errorf("said %q, want once %q", said, want)
	}
}

// TestRotateCompromisedDoesNotWait: the hour in which an old CA is kept is no reason to keep one whose key is known.
func TestRotateCompromisedDoesNotWait(t *testing.T) {
	a := &acting{steps: []string{"", "", "", "", i, pp, pm, re, st}} // it is seen in Retire before it is asked, and after
	r, said, _ := rotation(t, a, served(t, re))
	r.Compromised, r.ToTheEnd = true, true
	if err := r.Run(t.Context()); err != nil || len(a.steps) > 0 {
		t.Fatalf("%v, steps left: %v", err, a.steps)
	}
	if phases := regexp.MustCompile(`(?m)^[A-Z][a-z]+ `).FindAllString(said.String(), -1); len(phases) != 5 || strings.TrimSpace(phases[0]) != i {
		t.Errorf("said %q, want five phases from Introduce on", said)
	}
}

func TestRotateRefusesAndGivesUp(t *testing.T) {
	source := func(s v1alpha1.CertificatesSource) []client.Object {
		objects := steady(t)
		objects[0].(*v1alpha1.Injector).Status.Certificates.Source = s
		return objects
	}
	noLease := slices.DeleteFunc(steady(t), func(o client.Object) bool { _, is := o.(*coordinationv1.Lease); return is })
	for _, row := range []struct {
		name    string
		objects []client.Object
		acting  acting
		kind    error
		want    []string
	}{
		{"cert-manager", source(v1alpha1.CertificatesCertManager), acting{}, ErrNotPossible, []string{"cert-manager issues the certificate", "cmctl renew -n pillion-system pillion-serving"}},
		{"provided", source(v1alpha1.CertificatesProvided), acting{}, ErrNotPossible, []string{"the certificate is yours", "put the new tls.crt"}},
		{"under way", served(t, pp), acting{}, ErrNotPossible, []string{"a rotation is under way, in phase Propagate since 2026-11-21T11:59:18Z"}},
		{"no leader", steady(t), acting{}, ErrTimedOut, []string{"after 30s: its leader hasn't looked at the Secret: it is pillion-6f7c-a_1", "pillion.dev/rotate-, to take the request back"}},
		{"no Lease", noLease, acting{}, ErrTimedOut, []string{"no replica leads: there is no Lease pillion-system/pillion"}},
		{"stuck", steady(t), acting{steps: []string{i, pp}}, ErrTimedOut, []string{"timed out after 5m0s, in phase Propagate", "the rotation goes on by itself"}},
		{"stuck replicas", func() []client.Object {
			objects := steady(t)
			objects[0].(*v1alpha1.Injector).Status.Certificates.Phase = pm
			return objects
		}(), acting{steps: []string{pm}}, ErrTimedOut, []string{"in phase Promote: 2 of 3 replicas still to change: pillion-6f7c-b"}},
		{"API server away", steady(t), acting{away: errors.New("connection refused")}, ErrTimedOut, []string{"the API server can't be reached: connection refused"}},
		{"forbidden", steady(t), acting{away: forbid("secrets")}, nil, []string{"with the permission to get secrets pillion-serving-ca in namespace pillion-system"}},
	} {
		t.Run(row.name, func(t *testing.T) {
			a := row.acting
			r, _, _ := rotation(t, &a, row.objects)
			err := r.Run(t.Context())
			if err == nil || row.kind != nil && !errors.Is(err, row.kind) {
				t.Fatalf("error %v, want %v", err, row.kind)
			}
			for _, want := range row.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("error %v, want %q", err, want)
				}
			}
		})
	}
}

func TestRotateWithoutASecret(t *testing.T) {
	r, _, _ := rotation(t, &acting{}, nil)
	if err := r.Run(t.Context()); !apierrors.IsNotFound(err) || !strings.Contains(err.Error(), "--service NAME") {
		t.Errorf("%v", err)
	}
}

// TestRotateAsksOnce: what began between looking and asking isn't followed by another rotation.
func TestRotateAsksOnce(t *testing.T) {
	a := &acting{}
	r, _, c := rotation(t, a, steady(t))
	began := false
	r.Client = interceptor.NewClient(c.(client.WithWatch), interceptor.Funcs{
		Patch: func(ctx context.Context, c client.WithWatch, o client.Object, patch client.Patch, opts ...client.PatchOption) error {
			if !began {
				began = true
				var secret corev1.Secret
				if err := c.Get(ctx, client.ObjectKeyFromObject(o), &secret); err != nil {
					t.Fatal(err)
				}
				secret.Annotations[v1alpha1.AnnotationPhase] = i
				if err := c.Update(ctx, &secret); err != nil {
					t.Fatal(err)
				}
			}
			return c.Patch(ctx, o, patch, opts...)
		}})
	err := r.Run(t.Context())
	if !errors.Is(err, ErrNotPossible) || !strings.Contains(err.Error(), "in phase Introduce") {
		t.Errorf("%v", err)
	}
	var secret corev1.Secret
	if err := c.Get(t.Context(), client.ObjectKey{Namespace: "pillion-system", Name: "pillion-serving-ca"}, &secret); err != nil || secret.Annotations[v1alpha1.AnnotationRotate] != "" {
		t.Errorf("asked for another: %v, %v", secret.Annotations, err)
	}
}

func TestRotateMayNotPatch(t *testing.T) {
	r, _, c := rotation(t, &acting{}, steady(t))
	r.Client = interceptor.NewClient(c.(client.WithWatch), interceptor.Funcs{
		Patch: func(context.Context, client.WithWatch, client.Object, client.Patch, ...client.PatchOption) error {
			return forbid("secrets")
		}})
	if err := r.Run(t.Context()); !apierrors.IsForbidden(err) || !strings.Contains(err.Error(), "with the permission to patch secrets pillion-serving-ca") {
		t.Errorf("%v", err)
	}
}

func TestRotateInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	r, _, _ := rotation(t, &acting{steps: []string{i}}, steady(t))
	looks := 0
	r.Now = func() time.Time {
		if looks++; looks == 8 {
			cancel()
		}
		return noon
	}
	if err := r.Run(ctx); !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "the rotation goes on by itself") {
		t.Errorf("%v", err)
	}
}
