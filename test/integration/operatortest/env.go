package operatortest

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/pillion-mesh/pillion/api/v1alpha1"
	"github.com/pillion-mesh/pillion/test/cluster/testenv"
)

// Options say what a test needs.
type Options struct {
	Cluster testenv.Options
	// Shared says that others use the cluster at the same time: what isn't in a namespace is then the test's to remove.
	Shared bool
}

// Env is a cluster without an operator: the CRD, an empty namespace for the operator, and the Service to be.
type Env struct {
	T         *testing.T
	Cluster   *testenv.Cluster
	Client    client.WithWatch
	Namespace string // the operator's; a test may choose another before it starts a replica
	Service   *Service
}

// New makes one; it is empty again when the test has ended.
func New(t *testing.T, o Options) *Env {
	t.Helper()
	c := testenv.Start(t, o.Cluster)
	scheme := runtime.NewScheme()
	Must(t, errors.Join(clientgoscheme.AddToScheme(scheme), v1alpha1.AddToScheme(scheme), apiextensionsv1.AddToScheme(scheme)))
	api, err := client.NewWithWatch(c.Config, client.Options{Scheme: scheme})
	Must(t, err)
	e := &Env{T: t, Cluster: c, Client: api}
	e.InstallCRD()
	e.Namespace = c.Namespace(t)
	e.Service = newService(t)
	if !o.Shared {
		t.Cleanup(e.clean)
	}
	return e
}

// clean removes what isn't in a namespace. Operators have ended by then: they were started later.
func (e *Env) clean() {
	for _, object := range []client.Object{&v1alpha1.Injector{}, &admissionv1.MutatingWebhookConfiguration{}, &admissionv1.ValidatingWebhookConfiguration{}} {
		if err := e.Client.DeleteAllOf(context.Background(), object); err != nil {
			e.T.Errorf("cleaning up: %v", err)
		}
	}
}

// EmptyNamespace removes what an operator leaves in a namespace that the test doesn't delete.
func (e *Env) EmptyNamespace() {
	for _, object := range []client.Object{&corev1.Secret{}, &corev1.ConfigMap{}, &coordinationv1.Lease{}, &discoveryv1.EndpointSlice{}} {
		if err := e.Client.DeleteAllOf(context.Background(), object, client.InNamespace(e.Namespace)); err != nil {
			e.T.Errorf("emptying namespace %s: %v", e.Namespace, err)
		}
	}
}

// InstallCRD returns when the API server knows Injectors.
func (e *Env) InstallCRD() {
	e.T.Helper()
	text, err := os.ReadFile(filepath.Join(ConfigDir, "crd", "pillion.dev_injectors.yaml"))
	Must(e.T, err)
	var crd apiextensionsv1.CustomResourceDefinition
	Must(e.T, yaml.UnmarshalStrict(text, &crd))
	if err := e.Client.Create(e.Ctx(), &crd); err != nil && !apierrors.IsAlreadyExists(err) {
		e.T.Fatal(err)
	}
	e.Eventually("the CRD is established", func() error { return e.Client.List(e.Ctx(), &v1alpha1.InjectorList{}) })
}
