// Package precedence holds the truth tables of injection (namespace label × namespace revision × pod label × pod
// revision; three revisions with tags; every policy; neverInject and alwaysInject) against a real API server: for every
// row a dry-run pod is created, and who was called and who injected must be who the table and check-inject say.
package precedence

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/pillion-mesh/pillion/api/v1alpha1"
	"github.com/pillion-mesh/pillion/internal/cli"
	"github.com/pillion-mesh/pillion/internal/inject"
	"github.com/pillion-mesh/pillion/internal/inject/injecttest"
	"github.com/pillion-mesh/pillion/templates"
	"github.com/pillion-mesh/pillion/test/cluster/testenv"
	"github.com/pillion-mesh/pillion/webhook"
)

func TestTruthTableOnTheAPIServer(t *testing.T) {
	c := testenv.Start(t, testenv.Options{Name: "precedence"}) // webhook configurations aren't in a namespace
	api := newClient(t, c)
	installCRD(t, api)
	tagged, simple, listed := injecttest.Tagged(v1alpha1.PolicyOptIn), injecttest.Simple(v1alpha1.PolicyOptOut), injecttest.Listed(v1alpha1.PolicyExplicit)
	for _, table := range []struct {
		name  string
		world injecttest.World
		rows  []injecttest.Row
		least int
	}{
		{"three revisions, two tags, OptIn", tagged, tagged.EachMeaning(), 1600},
		{"OptOut", simple, simple.EachMeaning(), 500},
		{"Explicit, neverInject, alwaysInject", listed, listed.ListedRows(), 200},
	} {
		if len(table.rows) < table.least {
			t.Fatalf("%s: the table has %d rows: this test would prove little", table.name, len(table.rows))
		}
		t.Run(table.name, func(t *testing.T) {
			called := serve(t, c, api, table.world.Injectors)
			namespaces := makeNamespaces(t, c, table.rows)
			create(t, api, table.rows, namespaces)
			checks := checkInject(t, api, table.rows, namespaces)
			for i := range table.rows {
				compare(t, &table.rows[i], called.by(podName(i)), checks[i])
			}
		})
	}
}

// compare holds the API server's and check-inject's answer against the table's.
func compare(t *testing.T, row *injecttest.Row, called []string, check cli.InjectionCheck) {
	t.Helper()
	var wanted []string
	if row.Called != injecttest.None {
		wanted = []string{answered(row.Called, row.Injected)}
	}
	if !slices.Equal(called, wanted) {
		t.Errorf("namespace %v, pod %v: the API server called %v, the table says %v", row.NamespaceLabels(), row.PodLabels(), called, wanted)
	}
	if check.Injected != row.Injected || row.Called != injecttest.None && check.Decision.Injector != row.Called {
		t.Errorf("namespace %v, pod %v: check-inject says %t by %q (%s), the table says %t by %q",
			row.NamespaceLabels(), row.PodLabels(), check.Injected, check.Decision.Injector, check.Verdict, row.Injected, row.Called)
	}
	matching := slices.DeleteFunc(slices.Clone(check.Webhooks), func(r cli.WebhookRow) bool { return !r.Matches })
	if len(matching) != len(wanted) {
		t.Errorf("namespace %v, pod %v: check-inject shows %d matching webhooks, want %d: %v", row.NamespaceLabels(), row.PodLabels(), len(matching), len(wanted), matching)
	}
}

func answered(injector string, injected bool) string {
	if injected {
		return injector
	}
	return injector + " without a patch"
}

// calls are the Injectors called for each pod.
type calls struct {
	mu    sync.Mutex
	byPod map[string][]string
	next  http.Handler
}

func (c *calls) by(pod string) []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.byPod[pod]
}

func (c *calls) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	var review struct {
		Request struct{ Object metav1.PartialObjectMetadata }
	}
	if err := json.Unmarshal(body, &review); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	answer := &recorded{ResponseWriter: w}
	r.Body = io.NopCloser(bytes.NewReader(body))
	c.next.ServeHTTP(answer, r)
	c.record(review.Request.Object.Name, r.URL.Path, answer.text.Bytes())
}

// recorded keeps what was answered.
type recorded struct {
	http.ResponseWriter
	text bytes.Buffer
}

func (r *recorded) Write(b []byte) (int, error) {
	r.text.Write(b)
	return r.ResponseWriter.Write(b)
}

// record notes which Injector a call was for, and whether it was answered with a patch.
func (c *calls) record(pod, path string, answer []byte) {
	var review struct {
		Response struct{ Patch []byte }
	}
	injector := strings.Split(path, "/")[3] // /inject/injector/NAME/entry/ENTRY
	called := answered(injector, json.Unmarshal(answer, &review) == nil && len(review.Response.Patch) > 0)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.byPod[pod] = append(c.byPod[pod], called)
}

// serve puts the table's Injectors and their webhook configurations on the API server, answered by the real handler.
func serve(t *testing.T, c *testenv.Cluster, api client.Client, injectors []v1alpha1.Injector) *calls {
	t.Helper()
	listener := c.Listen(t)
	for i := range injectors {
		injectors[i].Spec.Webhook.URL = "https://" + listener.Host
	}
	op := injecttest.Operator(templates.FS)
	set, err := injecttest.NewSet(op, injectors...)
	if err != nil {
		t.Fatal(err)
	}
	handler := &calls{byPod: map[string][]string{}, next: webhook.New(webhook.Options{
		Set:        func() *inject.Set { return set },
		Namespaces: namespaceSource{api},
		Native:     func(string) bool { return true },
		Log:        logr.Discard(),
		Metrics:    webhook.NewMetrics(prometheus.NewRegistry()),
	})}
	server := &http.Server{Handler: handler, TLSConfig: listener.TLS, ReadHeaderTimeout: time.Minute}
	go func() { _ = server.ServeTLS(listener, "", "") }()
	t.Cleanup(func() { server.Close() })
	owned, _ := inject.Claims(injectors)
	for i := range injectors {
		register(t, api, op, &injectors[i], owned, listener.CA)
	}
	for i := range injectors {
		waitCalled(t, api, handler, injectors[i].Spec.Revision)
	}
	return handler
}

func register(t *testing.T, api client.Client, op inject.Operator, inj *v1alpha1.Injector, owned map[string]string, ca []byte) {
	t.Helper()
	made := inj.DeepCopy()
	createFor(t, api, made)
	var names []string
	for name, owner := range owned {
		if owner == inj.Name {
			names = append(names, name)
		}
	}
	for _, configuration := range inject.Webhooks(inj, names, op, ca) {
		configuration.TypeMeta = metav1.TypeMeta{}
		createFor(t, api, &configuration)
	}
}

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

// waitCalled waits until the API server has a revision's configuration in use: a pod that names it is sent to us.
func waitCalled(t *testing.T, api client.Client, handler *calls, revision string) {
	t.Helper()
	name := "warm-up-" + revision
	end := time.Now().Add(30 * time.Second)
	for len(handler.by(name)) == 0 {
		if time.Now().After(end) {
			t.Fatalf("the API server didn't call the webhook of revision %s within 30 s", revision)
		}
		pod := newPod("default", name, map[string]string{"istio.io/rev": revision})
		if err := api.Create(t.Context(), pod, client.DryRunAll); err != nil {
			t.Fatal(err)
		}
	}
}

// create makes a dry-run pod for every row, some at a time.
func create(t *testing.T, api client.Client, rows []injecttest.Row, namespaces []string) {
	t.Helper()
	work := make(chan int)
	var wait sync.WaitGroup
	for range 4 {
		wait.Go(func() {
			for i := range work {
				if err := api.Create(context.Background(), newPod(namespaces[i], podName(i), rows[i].PodLabels()), client.DryRunAll); err != nil {
					t.Errorf("namespace %v, pod %v: %v", rows[i].NamespaceLabels(), rows[i].PodLabels(), err)
				}
			}
		})
	}
	for i := range rows {
		work <- i
	}
	close(work)
	wait.Wait()
}

// checkInject asks the user's command about every row.
func checkInject(t *testing.T, api client.Client, rows []injecttest.Row, namespaces []string) []cli.InjectionCheck {
	t.Helper()
	objects := make([]*unstructured.Unstructured, len(rows))
	for i := range rows {
		objects[i] = cli.PodWithLabels(namespaces[i], rows[i].PodLabels())
	}
	checks, err := cli.CheckInject(t.Context(), api, injecttest.Operator(templates.FS), "default", objects...)
	if err != nil {
		t.Fatal(err)
	}
	if len(checks) != len(rows) {
		t.Fatalf("%d answers to %d rows", len(checks), len(rows))
	}
	return checks
}

func podName(row int) string { return fmt.Sprintf("row-%d", row) }

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
