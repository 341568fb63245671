package webhook_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pillion-mesh/pillion/api/v1alpha1"
	"github.com/pillion-mesh/pillion/internal/inject"
	"github.com/pillion-mesh/pillion/internal/log"
	"github.com/pillion-mesh/pillion/templates"
	"github.com/pillion-mesh/pillion/webhook"
)

// newSet compiles the default Injector as an operator does.
func newSet(t testing.TB) *inject.Set {
	t.Helper()
	op := inject.Operator{
		Namespace: "pillion-system", Service: "pillion", ServicePort: 443, SidecarImage: "pillion/pillion-sidecar:dev",
		Mesh:      inject.Mesh{ID: "mesh1", TrustDomain: "cluster.local", ClusterID: "Kubernetes", ClusterDomain: "cluster.local"},
		Templates: templates.FS,
	}
	inj := v1alpha1.Injector{ObjectMeta: metav1.ObjectMeta{Name: "default"}}
	v1alpha1.SetDefaults(&inj)
	p, err := inject.Compile(&inj, op)
	if err != nil {
		t.Fatal(err)
	}
	owned, _ := inject.Claims([]v1alpha1.Injector{inj})
	return inject.NewSet(op, []*inject.Program{p}, owned)
}

// newHandler is the handler with all that an operator gives it: a logger that writes, and metrics.
func newHandler(t testing.TB, o webhook.Options) http.Handler {
	t.Helper()
	set := newSet(t)
	if o.Set == nil {
		o.Set = func() *inject.Set { return set }
	}
	if o.Log.GetSink() == nil {
		logger, err := log.New(io.Discard, log.Options{Level: "info"})
		if err != nil {
			t.Fatal(err)
		}
		o.Log = logger
	}
	if o.Metrics == nil {
		o.Metrics = webhook.NewMetrics(prometheus.NewRegistry())
	}
	return webhook.New(o)
}

// typicalPod is a Deployment's pod as API servers send it: 1.8 kB with defaults, a token volume and probes.
func typicalPod(env int) string {
	vars := make([]string, env)
	for i := range vars {
		vars[i] = fmt.Sprintf(`{"name":"VAR_%d","value":"value-%d"}`, i, i)
	}
	return `{"kind":"Pod","apiVersion":"v1","metadata":{"generateName":"reviews-v1-6f7b8d5c9d-","namespace":"shop","creationTimestamp":null,` +
		`"labels":{"app":"reviews","version":"v1","pod-template-hash":"6f7b8d5c9d"},"annotations":{"checksum/config":"5f0c9a1e2b7d"},` +
		`"ownerReferences":[{"apiVersion":"apps/v1","kind":"ReplicaSet","name":"reviews-v1-6f7b8d5c9d","uid":"7a4b1c52-9f7d-4a9e-9d42-1f0f4f6d7a11","controller":true,"blockOwnerDeletion":true}]},` +
		`"spec":{"volumes":[{"name":"tmp","emptyDir":{}},{"name":"kube-api-access-x2x7z","projected":{"sources":[{"serviceAccountToken":{"expirationSeconds":3607,"path":"token"}},` +
		`{"configMap":{"name":"kube-root-ca.crt","items":[{"key":"ca.crt","path":"ca.crt"}]}},{"downwardAPI":{"items":[{"path":"namespace","fieldRef":{"apiVersion":"v1","fieldPath":"metadata.namespace"}}]}}],"defaultMode":420}}],` +
		`"containers":[{"name":"reviews","image":"registry.example/shop/reviews:1.20.3","ports":[{"name":"http","containerPort":9080,"protocol":"TCP"}],"env":[` + strings.Join(vars, ",") + `],` +
		`"resources":{"limits":{"cpu":"1","memory":"512Mi"},"requests":{"cpu":"100m","memory":"128Mi"}},"volumeMounts":[{"name":"tmp","mountPath":"/tmp"},{"name":"kube-api-access-x2x7z","readOnly":true,"mountPath":"/var/run/secrets/kubernetes.io/serviceaccount"}],` +
		`"livenessProbe":{"httpGet":{"path":"/health","port":9080,"scheme":"HTTP"},"initialDelaySeconds":10,"timeoutSeconds":1,"periodSeconds":10,"successThreshold":1,"failureThreshold":3},` +
		`"terminationMessagePath":"/dev/termination-log","terminationMessagePolicy":"File","imagePullPolicy":"IfNotPresent"}],` +
		`"restartPolicy":"Always","terminationGracePeriodSeconds":30,"dnsPolicy":"ClusterFirst","serviceAccountName":"reviews","serviceAccount":"reviews","securityContext":{},"schedulerName":"default-scheduler",` +
		`"tolerations":[{"key":"node.kubernetes.io/not-ready","operator":"Exists","effect":"NoExecute","tolerationSeconds":300},{"key":"node.kubernetes.io/unreachable","operator":"Exists","effect":"NoExecute","tolerationSeconds":300}],"priority":0,"enableServiceLinks":true,"preemptionPolicy":"PreemptLowerPriority"},"status":{}}`
}

// reviewOf is an AdmissionReview as API servers send it.
func reviewOf(pod string) []byte {
	return []byte(`{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1","request":{"uid":"705ab4f5-6393-11e8-b7cc-42010a800002","kind":{"group":"","version":"v1","kind":"Pod"},` +
		`"resource":{"group":"","version":"v1","resource":"pods"},"requestKind":{"group":"","version":"v1","kind":"Pod"},"requestResource":{"group":"","version":"v1","resource":"pods"},` +
		`"namespace":"shop","operation":"CREATE","userInfo":{"username":"system:serviceaccount:kube-system:replicaset-controller","uid":"1","groups":["system:serviceaccounts","system:authenticated"]},` +
		`"object":` + pod + `,"oldObject":null,"dryRun":false,"options":{"kind":"CreateOptions","apiVersion":"meta.k8s.io/v1"}}}`)
}

// post sends a review and returns the response.
func post(h http.Handler, path string, body []byte) *httptest.ResponseRecorder {
	request := httptest.NewRequest(http.MethodPost, path, bytes.NewReader(body))
	request.Header.Set("Content-Type", "application/json")
	recorder := httptest.NewRecorder()
	h.ServeHTTP(recorder, request)
	return recorder
}

// discard is a response nobody reads: httptest's recorder would count among the handler's own allocations.
type discard struct {
	header http.Header
	status int
	bytes  int
}

func (d *discard) Header() http.Header { return d.header }
func (d *discard) WriteHeader(s int)   { d.status = s }
func (d *discard) Write(b []byte) (int, error) {
	d.bytes += len(b)
	return len(b), nil
}

const entryPath = "/inject/injector/default/entry/namespace?timeout=5s"

func benchmark(b *testing.B, o webhook.Options, pod string, wantPatch bool) {
	h := newHandler(b, o)
	body := reviewOf(pod)
	var answer struct {
		Response struct {
			Allowed bool
			Patch   []byte
		}
	}
	if err := json.Unmarshal(post(h, entryPath, body).Body.Bytes(), &answer); err != nil || !answer.Response.Allowed || (answer.Response.Patch != nil) != wantPatch {
		b.Fatalf("the answer isn't what the benchmark is about: %v %+v", err, answer)
	}
	reader := bytes.NewReader(body)
	request := httptest.NewRequest(http.MethodPost, entryPath, reader)
	request.Header.Set("Content-Type", "application/json")
	w := &discard{header: http.Header{}}
	b.ReportAllocs()
	for b.Loop() {
		reader.Reset(body)
		request.Body = io.NopCloser(reader)
		h.ServeHTTP(w, request)
	}
}

func BenchmarkInjectTypical(b *testing.B) { benchmark(b, webhook.Options{}, typicalPod(5), true) }

func BenchmarkInjectNative(b *testing.B) {
	benchmark(b, webhook.Options{Native: func(string) bool { return true }}, typicalPod(5), true)
}

func BenchmarkInjectEnv2000(b *testing.B) { benchmark(b, webhook.Options{}, typicalPod(2000), true) }

func BenchmarkInjectSkip(b *testing.B) {
	pod := strings.Replace(typicalPod(5), `"labels":{`, `"labels":{"sidecar.istio.io/inject":"false",`, 1)
	benchmark(b, webhook.Options{}, pod, false)
}
