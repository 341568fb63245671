// Package cli fetches and formats for the user's commands. It decides nothing: injection is inject.Decide's. In come a
// client for the API server and names; out go structs that print as text, JSON or YAML. Read checkinject.go first.
package cli

import (
	"context"
	"fmt"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/pillion-mesh/pillion/api/v1alpha1"
	"github.com/pillion-mesh/pillion/internal/inject"
)

// Scheme knows every type the commands read.
func Scheme() (*runtime.Scheme, error) {
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, v1alpha1.AddToScheme} {
		if err := add(scheme); err != nil {
			return nil, fmt.Errorf("building the scheme: %w", err)
		}
	}
	return scheme, nil
}

// injection is what a cluster says about injection.
type injection struct {
	configurations []admissionregistrationv1.MutatingWebhookConfiguration // everybody's
	injectors      []v1alpha1.Injector                                    // ours
	notes          []string
}

// readInjection reads webhook configurations and Injectors.
func readInjection(ctx context.Context, c client.Reader) (*injection, error) {
	var configurations admissionregistrationv1.MutatingWebhookConfigurationList
	if err := c.List(ctx, &configurations); err != nil {
		return nil, fmt.Errorf("listing mutatingwebhookconfigurations: %w", hint(err))
	}
	in := &injection{configurations: configurations.Items}
	var injectors v1alpha1.InjectorList
	switch err := c.List(ctx, &injectors); {
	case meta.IsNoMatchError(err) || apierrors.IsNotFound(err):
		in.notes = append(in.notes, "this cluster has no Injector resource: Pillion isn't installed (kubectl apply -k config/default)")
	case err != nil:
		return nil, fmt.Errorf("listing injectors: %w", hint(err))
	}
	in.injectors = injectors.Items
	return in, nil
}

// readNamespace reads a namespace; one that doesn't exist has no labels.
func readNamespace(ctx context.Context, c client.Reader, name string) (inject.Namespace, error) {
	var ns corev1.Namespace
	err := c.Get(ctx, client.ObjectKey{Name: name}, &ns)
	if err != nil && !apierrors.IsNotFound(err) {
		return inject.Namespace{}, fmt.Errorf("reading namespace %s: %w", name, hint(err))
	}
	return inject.Namespace{Name: name, Labels: ns.Labels, Annotations: ns.Annotations}, nil
}

// set compiles the Injectors as the operator does. A custom template that doesn't compile can't change a decision, so
// the built-in one stands in for it, with a note.
func (in *injection) set(op inject.Operator) *inject.Set {
	owned, _ := inject.Claims(in.injectors)
	var programs []*inject.Program
	for i := range in.injectors {
		inj := in.injectors[i].DeepCopy()
		v1alpha1.SetDefaults(inj)
		program, err := inject.Compile(inj, op)
		if err != nil {
			in.notes = append(in.notes, err.Error()+"; the operator goes on with the last good templates")
			inj.Spec.Templates, inj.Spec.DefaultTemplates = nil, []string{"sidecar"}
			if program, err = inject.Compile(inj, op); err != nil {
				continue
			}
		}
		programs = append(programs, program)
	}
	return inject.NewSet(op, programs, owned)
}
