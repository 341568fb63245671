// Package cli fetches and formats for the user's commands. It decides nothing: injection is inject.Decide's. In come a
// client for the API server and names; out go structs that print as text, JSON or YAML. Read checkinject.go first.
package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/pillion-mesh/pillion/api/v1alpha1"
	"github.com/pillion-mesh/pillion/internal/controller/injector"
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
	compiler       func(*v1alpha1.Injector, inject.Operator) (*inject.Program, error) // inject.Compile
}

// readInjection reads webhook configurations and Injectors.
func readInjection(ctx context.Context, c client.Reader) (*injection, error) {
	var configurations admissionregistrationv1.MutatingWebhookConfigurationList
	if err := c.List(ctx, &configurations); err != nil {
		return nil, failed("listing mutatingwebhookconfigurations", err)
	}
	in := &injection{configurations: configurations.Items, compiler: inject.Compile}
	var injectors v1alpha1.InjectorList
	switch err := c.List(ctx, &injectors); {
	case meta.IsNoMatchError(err) || apierrors.IsNotFound(err):
		in.notes = append(in.notes, "this cluster has no Injector resource: Pillion isn't installed (kubectl apply -k config/default)")
	case err != nil:
		return nil, failed("listing injectors", err)
	}
	in.injectors = injectors.Items
	return in, nil
}

// readNamespace reads a namespace and what it allows its pods; one that doesn't exist has no labels. The notes say what
// couldn't be read: who may not list quotas gets an answer all the same.
func readNamespace(ctx context.Context, c client.Reader, name string) (ns inject.Namespace, notes []string, err error) {
	var live corev1.Namespace
	err = c.Get(ctx, client.ObjectKey{Name: name}, &live)
	if err != nil && !apierrors.IsNotFound(err) {
		return inject.Namespace{}, nil, failed("reading namespace "+name, err)
	}
	allowance, notes := readAllowance(ctx, c, name)
	return inject.Namespace{Name: name, Labels: live.Labels, Annotations: live.Annotations, Allowance: allowance}, notes, nil
}

// readAllowance reads what the webhook has in its informers.
func readAllowance(ctx context.Context, c client.Reader, namespace string) (a inject.Allowance, notes []string) {
	var ranges corev1.LimitRangeList
	var quotas corev1.ResourceQuotaList
	for _, list := range []struct {
		of   client.ObjectList
		name string
	}{{&ranges, "limitranges"}, {&quotas, "resourcequotas"}} {
		if err := c.List(ctx, list.of, client.InNamespace(namespace)); err != nil {
			notes = append(notes, fmt.Sprintf("whether the sidecar is too large for namespace %s isn't known: listing %s: %v", namespace, list.name, err))
		}
	}
	return inject.Allowance{Ranges: ranges.Items, Quotas: quotas.Items}, notes
}

// set is what the operator serves: each Injector as it is, or its last good version while it is faulty. One that never
// was good claims no name.
func (in *injection) set(ctx context.Context, c client.Reader, op inject.Operator) (*inject.Set, error) {
	var programs []*inject.Program
	var served []v1alpha1.Injector
	for i := range in.injectors {
		inj, program, err := in.program(ctx, c, op, &in.injectors[i])
		if err != nil {
			return nil, err
		}
		if program != nil {
			programs = append(programs, program)
			served = append(served, *inj)
		}
	}
	owned, _ := inject.Claims(served)
	return inject.NewSet(op, programs, owned), nil
}

// program returns the version of an Injector that is served, and that version compiled; nil if none is.
func (in *injection) program(ctx context.Context, c client.Reader, op inject.Operator, inj *v1alpha1.Injector) (*v1alpha1.Injector, *inject.Program, error) {
	program, fault, err := in.compile(ctx, c, op, inj)
	if err != nil || fault == nil {
		return inj, program, err
	}
	good, err := lastGood(ctx, c, op.Namespace, in.operatorOf(inj, op), inj)
	if err != nil {
		return nil, nil, err
	}
	if good != nil {
		program, err := in.compiler(good, op)
		switch {
		case errors.Is(err, context.DeadlineExceeded):
			return nil, nil, errBusy(err)
		case err == nil:
			in.notes = append(in.notes, fmt.Sprintf("Injector %s is faulty (%v); the operator goes on with its last good version, and so does this answer", inj.Name, fault))
			return good, program, nil
		}
	}
	in.notes = append(in.notes, fmt.Sprintf("Injector %s is faulty and was never good (%v); it injects nothing", inj.Name, fault))
	return nil, nil, nil
}

// errBusy: an answer without this Injector would be wrong, and to call it faulty too.
func errBusy(err error) error {
	return fmt.Errorf("busy: %w\n  try: again, or where there is more CPU", err)
}

// compile reads the Injector's ConfigMaps as the operator does. The fault is the Injector's, the error is not.
func (in *injection) compile(ctx context.Context, c client.Reader, op inject.Operator, inj *v1alpha1.Injector) (program *inject.Program, fault, err error) {
	v1alpha1.SetDefaults(inj)
	if faults := v1alpha1.Validate(inj); len(faults) > 0 {
		return nil, faults.ToAggregate(), nil
	}
	faults, err := injector.Sources{Live: c, Namespace: op.Namespace}.Resolve(ctx, inj)
	switch {
	case err != nil:
		return nil, nil, failed("reading the templates of injector "+inj.Name, err)
	case len(faults) > 0:
		return nil, &inject.CompileError{Injector: inj.Name, Templates: faults}, nil
	}
	program, fault = in.compiler(inj, op)
	if errors.Is(fault, context.DeadlineExceeded) {
		return nil, nil, errBusy(fault)
	}
	return program, fault, nil
}

// operatorOf is the Service of the operator that serves an Injector, as its webhooks lead there; where there are none
// yet, or they lead to a URL, the one of config/default.
func (in *injection) operatorOf(inj *v1alpha1.Injector, op inject.Operator) string {
	for i := range in.configurations {
		c := &in.configurations[i]
		if c.Labels[inject.LabelInjector] != inj.Name || len(c.Webhooks) == 0 {
			continue
		}
		if at := c.Webhooks[0].ClientConfig.Service; at != nil && at.Namespace == op.Namespace {
			return at.Name
		}
	}
	return op.Service
}

// lastGood reads what the operator keeps; nil if it keeps nothing of this Injector.
func lastGood(ctx context.Context, c client.Reader, namespace, service string, inj *v1alpha1.Injector) (*v1alpha1.Injector, error) {
	var kept corev1.ConfigMap
	name := v1alpha1.LastGoodName(service, inj.Name)
	err := c.Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, &kept)
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, failed(fmt.Sprintf("injector %s is faulty; reading its last good version, configmap %s/%s", inj.Name, namespace, name), err)
	}
	var good v1alpha1.Injector
	if err := json.Unmarshal([]byte(kept.Data[v1alpha1.LastGoodKey]), &good); err != nil || good.UID != inj.UID {
		return nil, nil //nolint:nilerr // somebody else's words: the operator doesn't take them either
	}
	return &good, nil
}
