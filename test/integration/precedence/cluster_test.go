package precedence

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/pillion-mesh/pillion/api/v1alpha1"
	"github.com/pillion-mesh/pillion/internal/cli"
	"github.com/pillion-mesh/pillion/internal/inject"
	"github.com/pillion-mesh/pillion/internal/inject/injecttest"
	"github.com/pillion-mesh/pillion/test/cluster/testenv"
)

func createFor(t *testing.T, api client.Client, object client.Object) {
	t.Helper()
	if err := api.Create(t.Context(), object); err != nil {
		t.Fatalf("creating %T %s: %v", object, object.GetName(), err)
	}
	t.Cleanup(func() {
		if err := api.Delete(context.Background(), object); err != nil {
			t.Errorf("deleting %T %s: %v", object, object.GetName(), err)
		}
	})
}

// newPod names its ServiceAccount: the admission plugin that does so on a cluster needs the controller manager.
func newPod(namespace, name string, labels map[string]string) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, Labels: labels},
		Spec:       corev1.PodSpec{ServiceAccountName: "default", Containers: []corev1.Container{{Name: "app", Image: "app"}}},
	}
}

// makeNamespaces returns, for each row, a namespace with the row's labels: one for each combination.
func makeNamespaces(t *testing.T, c *testenv.Cluster, rows []injecttest.Row) []string {
	t.Helper()
	made := map[string]string{}
	names := make([]string, len(rows))
	for i := range rows {
		labels := rows[i].NamespaceLabels()
		key := fmt.Sprint(slices.Sorted(maps.Keys(labels)), labels)
		if made[key] == "" {
			made[key] = c.Namespace(t, labels)
		}
		names[i] = made[key]
	}
	return names
}

// namespaceSource reads namespaces from the API server.
type namespaceSource struct{ client.Reader }

func (s namespaceSource) Namespace(ctx context.Context, name string) (inject.Namespace, error) {
	var ns corev1.Namespace
	err := s.Get(ctx, client.ObjectKey{Name: name}, &ns)
	return inject.Namespace{Name: name, Labels: ns.Labels, Annotations: ns.Annotations}, err
}

func newClient(t *testing.T, c *testenv.Cluster) client.Client {
	t.Helper()
	scheme, err := cli.Scheme()
	if err != nil {
		t.Fatal(err)
	}
	if err := apiextensionsv1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	api, err := client.New(c.Config, client.Options{Scheme: scheme})
	if err != nil {
		t.Fatal(err)
	}
	return api
}

func installCRD(t *testing.T, api client.Client) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", "..", "config", "crd", "pillion.dev_injectors.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var crd apiextensionsv1.CustomResourceDefinition
	if err := yaml.UnmarshalStrict(text, &crd); err != nil {
		t.Fatal(err)
	}
	createFor(t, api, &crd)
	end := time.Now().Add(30 * time.Second)
	for {
		var list v1alpha1.InjectorList
		err := api.List(t.Context(), &list)
		if err == nil {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("the CRD isn't established after 30 s: %v", err)
		}
		time.Sleep(50 * time.Millisecond)
	}
}
