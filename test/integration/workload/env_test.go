// Package workload tests, on a real kube-apiserver with its controller manager, what Pillion does about pods that run
// without the sidecar they should have: Deployments make pods, the Eviction API and PodDisruptionBudgets are the real
// thing. There is no node, so the tests say of pods that they are ready. Read env_test.go first; process_test.go runs the
// whole operator, the others the controller alone, look by look and with a clock of their own.
package workload

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/pillion-mesh/pillion/api/v1alpha1"
	"github.com/pillion-mesh/pillion/internal/inject"
	"github.com/pillion-mesh/pillion/internal/istio"
	"github.com/pillion-mesh/pillion/templates"
	"github.com/pillion-mesh/pillion/test/cluster/testenv"
)

const (
	clusterName = "workload" // these tests make webhook configurations and CRDs
	configDir   = "../../../config"
	patience    = 60 * time.Second
)

var operator = inject.Operator{Namespace: "pillion-system", Service: "pillion", ServicePort: 443, SidecarImage: "localhost/sidecar:1", Templates: templates.FS}

// env is a namespace without labels on the cluster, and, after inject, an Injector of its own.
type env struct {
	t         *testing.T
	cluster   *testenv.Cluster
	api       client.WithWatch
	namespace string
}

func newEnv(t *testing.T) *env {
	t.Helper()
	c := testenv.Start(t, testenv.Options{Name: clusterName, ControllerManager: true})
	scheme := runtime.NewScheme()
	must(t, errors.Join(clientgoscheme.AddToScheme(scheme), v1alpha1.AddToScheme(scheme), apiextensionsv1.AddToScheme(scheme)))
	api, err := client.NewWithWatch(c.Config, client.Options{Scheme: scheme})
	must(t, err)
	e := &env{t: t, cluster: c, api: api, namespace: c.Namespace(t)}
	e.installCRD()
	return e
}

func (e *env) ctx() context.Context { return e.t.Context() }

func (e *env) installCRD() {
	e.t.Helper()
	text, err := os.ReadFile(filepath.Join(configDir, "crd", "pillion.dev_injectors.yaml"))
	must(e.t, err)
	var crd apiextensionsv1.CustomResourceDefinition
	must(e.t, yaml.UnmarshalStrict(text, &crd))
	if err := e.api.Create(e.ctx(), &crd); err != nil && !apierrors.IsAlreadyExists(err) {
		e.t.Fatal(err)
	}
	e.eventually("the CRD is established", func() error { return e.api.List(e.ctx(), &v1alpha1.InjectorList{}) })
}

// revision is a name of this test's alone.
func (e *env) revision() string {
	return "w" + e.namespace[strings.LastIndex(e.namespace, "-")+1:]
}

// ask labels the namespace: pods made before that are those that miss a sidecar.
func (e *env) ask() {
	e.t.Helper()
	patch := []byte(fmt.Sprintf(`{"metadata":{"labels":{%q:%q}}}`, istio.LabelRevision, e.revision()))
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: e.namespace}}
	must(e.t, e.api.Patch(e.ctx(), ns, client.RawPatch("application/merge-patch+json", patch)))
}

func (e *env) eventually(what string, test func() error) {
	e.t.Helper()
	e.within(patience, what, test)
}

func (e *env) within(limit time.Duration, what string, test func() error) {
	e.t.Helper()
	deadline := time.Now().Add(limit)
	for {
		err := test()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			e.t.Fatalf("waited %s until %s: %v", limit, what, err)
		}
		select {
		case <-e.t.Context().Done():
			e.t.Fatal(e.t.Context().Err())
		case <-time.After(50 * time.Millisecond):
		}
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
