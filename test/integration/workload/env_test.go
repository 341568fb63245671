// Package workload tests, on a real kube-apiserver with its controller manager, what Pillion does about pods that run
// without the sidecar they should have: Deployments make pods, the Eviction API and PodDisruptionBudgets are the real
// thing. There is no node, so the tests say of pods that they are ready. process_test.go runs the whole operator, the
// others the controller alone, look by look and with a clock of their own.
package workload

import (
	"fmt"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/pillion-mesh/pillion/internal/inject"
	"github.com/pillion-mesh/pillion/internal/istio"
	"github.com/pillion-mesh/pillion/templates"
	"github.com/pillion-mesh/pillion/test/cluster/testenv"
	"github.com/pillion-mesh/pillion/test/integration/operatortest"
)

const clusterName = "workload" // these tests make webhook configurations and CRDs

var operator = inject.Operator{Namespace: "pillion-system", Service: "pillion", ServicePort: 443, SidecarImage: "localhost/sidecar:1", Templates: templates.FS}

var must = operatortest.Must

// env is a namespace without labels on the cluster that these tests share, and, after inject, an Injector of its own.
type env struct {
	*operatortest.Env
	namespace string // of pods
}

func newEnv(t *testing.T) *env {
	t.Helper()
	e := operatortest.New(t, operatortest.Options{Shared: true,
		Cluster: testenv.Options{Name: clusterName, ControllerManager: true}})
	return &env{Env: e, namespace: e.Cluster.Namespace(t)}
}

// revision is a name of this test's alone.
func (e *env) revision() string {
	return "w" + e.namespace[strings.LastIndex(e.namespace, "-")+1:]
}

// ask labels the namespace: pods made before that are those that miss a sidecar.
func (e *env) ask() {
	e.T.Helper()
	patch := []byte(fmt.Sprintf(`{"metadata":{"labels":{%q:%q}}}`, istio.LabelRevision, e.revision()))
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: e.namespace}}
	must(e.T, e.Client.Patch(e.Ctx(), ns, client.RawPatch("application/merge-patch+json", patch)))
}
