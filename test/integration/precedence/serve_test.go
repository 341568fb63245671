package precedence

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/pillion-mesh/pillion/api/v1alpha1"
	"github.com/pillion-mesh/pillion/internal/inject"
	"github.com/pillion-mesh/pillion/internal/inject/injecttest"
	"github.com/pillion-mesh/pillion/templates"
	"github.com/pillion-mesh/pillion/test/cluster/testenv"
	"github.com/pillion-mesh/pillion/webhook"
)

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
