package webhook_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/go-logr/logr/funcr"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	jsonpatch "gopkg.in/evanphx/json-patch.v4"
	admissionv1 "k8s.io/api/admission/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pillion-mesh/pillion/internal/inject"
	"github.com/pillion-mesh/pillion/internal/inject/injecttest"
	"github.com/pillion-mesh/pillion/webhook"
)

// reviewWith is a review of the typical pod after edits of its text.
func reviewWith(replace ...string) []byte {
	return []byte(strings.NewReplacer(replace...).Replace(string(injecttest.Review(injecttest.TypicalPod(1)))))
}

func responseOf(t *testing.T, recorder *httptest.ResponseRecorder) *admissionv1.AdmissionResponse {
	t.Helper()
	var review admissionv1.AdmissionReview
	decoder := json.NewDecoder(recorder.Body)
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&review); err != nil || review.Response == nil {
		t.Fatalf("%d: no AdmissionReview: %v", recorder.Code, err)
	}
	if review.Response.UID != "705ab4f5-6393-11e8-b7cc-42010a800002" {
		t.Errorf("uid = %q", review.Response.UID)
	}
	return review.Response
}

func TestInjects(t *testing.T) {
	recorder := post(newHandler(t, webhook.Options{}), entryPath, reviewWith())
	if recorder.Code != http.StatusOK || recorder.Header().Get("Content-Type") != "application/json" {
		t.Fatalf("%d %v", recorder.Code, recorder.Header())
	}
	response := responseOf(t, recorder)
	if !response.Allowed || *response.PatchType != admissionv1.PatchTypeJSONPatch {
		t.Fatalf("%+v", response)
	}
	patch, err := jsonpatch.DecodePatch(response.Patch)
	if err != nil {
		t.Fatal(err)
	}
	patched, err := patch.Apply([]byte(injecttest.TypicalPod(1)))
	if err != nil {
		t.Fatal(err)
	}
	var pod corev1.Pod
	if err := json.Unmarshal(patched, &pod); err != nil {
		t.Fatal(err)
	}
	if len(pod.Spec.Containers) != 2 || pod.Spec.Containers[1].Name != "istio-proxy" || pod.Spec.InitContainers[0].Name != "istio-init" {
		t.Errorf("containers %v", pod.Spec.Containers)
	}
	want := map[string]string{"decision": "inject", "reason": "namespace-label", "injector": "default", "templates": "sidecar"}
	for key, value := range want {
		if response.AuditAnnotations[key] != value {
			t.Errorf("audit annotation %s = %q, want %q", key, response.AuditAnnotations[key], value)
		}
	}
	if len(response.AuditAnnotations["hash"]) != 12 {
		t.Errorf("audit annotation hash = %q", response.AuditAnnotations["hash"])
	}
}

func TestAnswersInKind(t *testing.T) {
	for _, version := range []string{"admission.k8s.io/v1", "admission.k8s.io/v1beta1"} {
		recorder := post(newHandler(t, webhook.Options{}), entryPath, reviewWith(`"apiVersion":"admission.k8s.io/v1"`, `"apiVersion":"`+version+`"`))
		if got := recorder.Body.String(); !strings.HasPrefix(got, `{"kind":"AdmissionReview","apiVersion":"`+version+`"`) {
			t.Errorf("%s is answered %.80s", version, got)
		}
	}
}

// TestBadRequests: none of these is a panic, and each says what is wrong.
func TestBadRequests(t *testing.T) {
	h := newHandler(t, webhook.Options{})
	big := bytes.Repeat([]byte(" "), 8<<20+1)
	for _, row := range []struct {
		name, path, kind string
		body             []byte
		code             int
		says             string
	}{
		{"wrong content type", "/inject", "text/plain", reviewWith(), http.StatusUnsupportedMediaType, "application/json"},
		{"no content type", "/inject", "", reviewWith(), http.StatusUnsupportedMediaType, "application/json"},
		{"charset is fine", entryPath, "application/json; charset=utf-8", reviewWith(), http.StatusOK, "AdmissionReview"},
		{"empty", "/inject", "application/json", nil, http.StatusBadRequest, "empty"},
		{"no JSON", "/inject", "application/json", []byte(`{"kind":`), http.StatusBadRequest, "reading the AdmissionReview"},
		{"not a review", "/inject", "application/json", []byte(`{"kind":"Pod","apiVersion":"v1"}`), http.StatusBadRequest, "no AdmissionReview"},
		{"no request", "/inject", "application/json", []byte(`{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1"}`), http.StatusBadRequest, "no request"},
		{"unknown version", "/inject", "application/json", reviewWith("admission.k8s.io/v1", "admission.k8s.io/v2"), http.StatusBadRequest, "no AdmissionReview"},
		{"too large", "/inject", "application/json", big, http.StatusRequestEntityTooLarge, "larger than"},
		{"unknown key", "/inject/colour/blue", "application/json", reviewWith(), http.StatusNotFound, `key "colour" is unknown`},
		{"key without value", "/inject/injector", "application/json", reviewWith(), http.StatusNotFound, "no value"},
		{"unknown injector", "/inject/injector/nobody/entry/namespace", "application/json", reviewWith(), http.StatusNotFound, `no injector "nobody"`},
	} {
		t.Run(row.name, func(t *testing.T) {
			request := httptest.NewRequest(http.MethodPost, row.path, bytes.NewReader(row.body))
			request.Header.Set("Content-Type", row.kind)
			recorder := httptest.NewRecorder()
			h.ServeHTTP(recorder, request)
			if recorder.Code != row.code || !strings.Contains(recorder.Body.String(), row.says) {
				t.Errorf("%d %.200s, want %d …%s…", recorder.Code, recorder.Body, row.code, row.says)
			}
		})
	}
	recorder := httptest.NewRecorder()
	h.ServeHTTP(recorder, httptest.NewRequest(http.MethodGet, "/inject", nil))
	if recorder.Code != http.StatusMethodNotAllowed {
		t.Errorf("GET: %d", recorder.Code)
	}
}

// TestLargeReview: 3 MiB, the largest object an API server takes, is answered as any other.
func TestLargeReview(t *testing.T) {
	body := reviewWith(`"value-0"`, `"`+strings.Repeat("x", 3<<20)+`"`)
	if response := responseOf(t, post(newHandler(t, webhook.Options{}), entryPath, body)); !response.Allowed || response.Patch == nil {
		t.Errorf("%v %v", response.Allowed, response.Result)
	}
}

// TestRefusals are answers that let nothing pass, with a message.
func TestRefusals(t *testing.T) {
	h := newHandler(t, webhook.Options{})
	for _, row := range []struct {
		name   string
		body   []byte
		code   int32
		reason metav1.StatusReason
		says   string
		causes int
	}{
		{"another kind", reviewWith(`"version":"v1","kind":"Pod"}`, `"version":"v1","kind":"Service"}`), 400, metav1.StatusReasonBadRequest, `"Service"`, 0},
		{"a Pod of another group", reviewWith(`"kind":{"group":"","version":"v1","kind":"Pod"}`, `"kind":{"group":"example.com","version":"v1","kind":"Pod"}`), 400, metav1.StatusReasonBadRequest, "example.com/v1 Pod", 0},
		{"object is null", []byte(strings.Replace(string(injecttest.Review("null")), "x", "x", 1)), 400, metav1.StatusReasonBadRequest, "no JSON object", 0},
		{"object is a list", injecttest.Review("[]"), 400, metav1.StatusReasonBadRequest, "no JSON object", 0},
		{"60000 annotations", injecttest.Review(`{"metadata":{"annotations":{` + repeated(`"k%d":""`, 60000) + `}},"spec":{"containers":[{"name":"app"}]}}`), 400, metav1.StatusReasonBadRequest, "metadata.annotations have 348890 bytes in 60000 entries; want at most 262144 bytes", 0},
		{"100000 variables", injecttest.Review(`{"spec":{"containers":[{"name":"istio-proxy","env":[` + repeated(`{"name":"E%d"}`, 100000) + `]}]}}`), 400, metav1.StatusReasonBadRequest, "more values than there may be", 0},
		{"5000 variables", injecttest.Review(`{"spec":{"containers":[{"name":"istio-proxy","env":[` + repeated(`{"name":"E%d"}`, 5000) + `]}]}}`), 400, metav1.StatusReasonBadRequest, "spec.containers[0].env has 5000 items; want at most 4096", 0},
		{"two bad annotations", reviewWith(`"checksum/config":"5f0c9a1e2b7d"`, `"sidecar.istio.io/proxyCPU":"x","traffic.sidecar.istio.io/excludeInboundPorts":"80,x"`), 422, metav1.StatusReasonInvalid, `want ports or ranges, such as 80,8000-8010`, 2},
	} {
		t.Run(row.name, func(t *testing.T) {
			response := responseOf(t, post(h, entryPath, row.body))
			if response.Allowed || response.Patch != nil || response.Result == nil {
				t.Fatalf("%+v", response)
			}
			result := response.Result
			if result.Code != row.code || result.Reason != row.reason || !strings.Contains(result.Message, row.says) {
				t.Errorf("%d %s %s", result.Code, result.Reason, result.Message)
			}
			causes := 0
			if result.Details != nil {
				causes = len(result.Details.Causes)
			}
			if causes != row.causes {
				t.Errorf("%d causes, want %d", causes, row.causes)
			}
		})
	}
}

// repeated is n parts of this format, with a number in it, between commas.
func repeated(format string, n int) string {
	parts := make([]string, n)
	for i := range parts {
		parts[i] = fmt.Sprintf(format, i)
	}
	return strings.Join(parts, ",")
}

// TestOtherOperationsPass: a webhook somebody edited must not stop updates.
func TestOtherOperationsPass(t *testing.T) {
	response := responseOf(t, post(newHandler(t, webhook.Options{}), entryPath, reviewWith(`"operation":"CREATE"`, `"operation":"UPDATE"`)))
	if !response.Allowed || response.Patch != nil || len(response.Warnings) != 1 {
		t.Errorf("%+v", response)
	}
}

// sink collects events.
type sink struct {
	mu     sync.Mutex
	events []webhook.Event
}

func (s *sink) Event(e webhook.Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.events = append(s.events, e)
}

// namespaces answers with one namespace, or fails.
type namespaces struct {
	labels map[string]string
	err    error
}

func (n namespaces) Namespace(_ context.Context, name string) (inject.Namespace, error) {
	return inject.Namespace{Name: name, Labels: n.labels}, n.err
}

// TestSkippedPodsThatAskedAreTold why, by a warning and an event; others are skipped in silence.
func TestSkippedPodsThatAskedAreTold(t *testing.T) {
	asked := namespaces{labels: map[string]string{"istio-injection": "enabled"}}
	for _, row := range []struct {
		name     string
		body     []byte
		warning  string
		events   []string
		decision string
	}{
		{"host network", reviewWith(`"restartPolicy"`, `"hostNetwork":true,"restartPolicy"`), "no sidecar (host-network): the pod uses the host's network", []string{webhook.EventSkipped}, "skip"},
		{"dry run", reviewWith(`"restartPolicy"`, `"hostNetwork":true,"restartPolicy"`, `"dryRun":false`, `"dryRun":true`), "no sidecar (host-network)", nil, "skip"},
		{"what to do", reviewWith(`"restartPolicy"`, `"hostNetwork":true,"restartPolicy"`), "to inject it: remove spec.hostNetwork from the pod", []string{webhook.EventSkipped}, "skip"},
		{"opted out", reviewWith(`"labels":{`, `"labels":{"sidecar.istio.io/inject":"false",`), "", nil, "skip"},
		{"denied", reviewWith(`"checksum/config"`, `"sidecar.istio.io/proxyCPU"`), "", []string{webhook.EventDenied}, "deny"},
		{"denied and misspelt", reviewWith(`"checksum/config"`, `"sidecar.istio.io/proxyCPUs":"1","sidecar.istio.io/proxyCPU"`), "did you mean", []string{webhook.EventDenied}, "deny"},
		{"misspelt", reviewWith(`"checksum/config"`, `"sidecar.istio.io/proxyCPUs"`), "did you mean", []string{webhook.EventWarning}, "inject"},
		{"nothing to tell", reviewWith(), "", nil, "inject"},
	} {
		t.Run(row.name, func(t *testing.T) {
			var events sink
			h := newHandler(t, webhook.Options{Events: &events, Namespaces: asked})
			response := responseOf(t, post(h, entryPath, row.body))
			if got := strings.Join(response.Warnings, "\n"); !strings.Contains(got, row.warning) || row.warning == "" && got != "" {
				t.Errorf("warnings %q, want %q", got, row.warning)
			}
			var reasons []string
			for _, e := range events.events {
				reasons = append(reasons, e.Reason)
				if e.Owner != (inject.Owner{APIVersion: "apps/v1", Kind: "ReplicaSet", Name: "reviews-v1-6f7b8d5c9d", UID: "7a4b1c52-9f7d-4a9e-9d42-1f0f4f6d7a11"}) || e.Message == "" || e.Namespace != "shop" {
					t.Errorf("event %+v", e)
				}
			}
			if !slices.Equal(reasons, row.events) {
				t.Errorf("events %v, want %v", reasons, row.events)
			}
		})
	}
}

func TestWarningsAreFewAndShort(t *testing.T) {
	var annotations []string
	for _, letter := range strings.Split("abcdefghijkl", "") {
		annotations = append(annotations, `"sidecar.istio.io/`+strings.Repeat(letter, 100)+`é":"x"`)
	}
	response := responseOf(t, post(newHandler(t, webhook.Options{}), entryPath, reviewWith(`"checksum/config":"5f0c9a1e2b7d"`, strings.Join(annotations, ","))))
	if len(response.Warnings) != 8 || !strings.Contains(response.Warnings[7], "5 more") {
		t.Errorf("%d warnings: %v", len(response.Warnings), response.Warnings)
	}
	for _, w := range response.Warnings {
		if len([]rune(w)) > 120 {
			t.Errorf("a warning of %d characters", len([]rune(w)))
		}
	}
}

// TestNamespaceUnknown: without the namespace's labels the pod is injected all the same: the path says which entry
// matched.
func TestNamespaceUnknown(t *testing.T) {
	h := newHandler(t, webhook.Options{Namespaces: namespaces{err: errors.New("not found")}})
	if response := responseOf(t, post(h, entryPath, reviewWith())); response.Patch == nil {
		t.Errorf("%+v", response)
	}
}

func TestPathBecomesEnvironment(t *testing.T) {
	recorder := post(newHandler(t, webhook.Options{}), "/inject/injector/default/entry/namespace/cluster/c1/net/n1/MY_URL/a--slash--b", reviewWith())
	patch := string(responseOf(t, recorder).Patch)
	for _, want := range []string{`{"name":"ISTIO_META_CLUSTER_ID","value":"c1"}`, `{"name":"ISTIO_META_NETWORK","value":"n1"}`, `{"name":"MY_URL","value":"a/b"}`} {
		if !strings.Contains(patch, want) {
			t.Errorf("no %s in %s", want, patch)
		}
	}
}

// TestNativeFollowsTheNode: Auto asks about the pod's node, or about all.
func TestNativeFollowsTheNode(t *testing.T) {
	h := newHandler(t, webhook.Options{Native: func(node string) bool { return node == "new" }})
	for node, native := range map[string]bool{"new": true, "old": false, "": false} {
		patch := string(responseOf(t, post(h, entryPath, reviewWith(`"restartPolicy"`, `"nodeName":"`+node+`","restartPolicy"`))).Patch)
		if got := strings.Contains(patch, `"restartPolicy":"Always"`); got != native {
			t.Errorf("node %q: native %v, want %v", node, got, native)
		}
	}
}

// TestPanicIsAnError: a panic is answered, counted and logged, and the server goes on.
func TestPanicIsAnError(t *testing.T) {
	var lines strings.Builder
	registry := prometheus.NewRegistry()
	h := newHandler(t, webhook.Options{
		Set: func() *inject.Set { panic("boom") }, Metrics: webhook.NewMetrics(registry),
		Log: funcr.New(func(_, args string) { lines.WriteString(args + "\n") }, funcr.Options{}),
	})
	recorder := post(h, entryPath, reviewWith())
	if recorder.Code != http.StatusInternalServerError {
		t.Errorf("%d %s", recorder.Code, recorder.Body)
	}
	if !strings.Contains(lines.String(), "boom") || !strings.Contains(lines.String(), `"reason"="internal"`) {
		t.Errorf("log: %s", lines.String())
	}
	want := `# HELP pillion_injection_requests_total Admission requests by injector, decision and reason.
# TYPE pillion_injection_requests_total counter
pillion_injection_requests_total{decision="error",injector="",reason="internal"} 1
`
	if err := testutil.GatherAndCompare(registry, strings.NewReader(want), "pillion_injection_requests_total"); err != nil {
		t.Error(err)
	}
}

func TestNoSetYet(t *testing.T) {
	recorder := post(newHandler(t, webhook.Options{Set: func() *inject.Set { return nil }}), entryPath, reviewWith())
	if recorder.Code != http.StatusServiceUnavailable || !strings.Contains(recorder.Body.String(), "no injector is compiled yet") {
		t.Errorf("%d %s", recorder.Code, recorder.Body)
	}
}

func TestDeadline(t *testing.T) {
	recorder := post(newHandler(t, webhook.Options{}), "/inject/injector/default/entry/namespace?timeout=1ns", reviewWith())
	if recorder.Code != http.StatusGatewayTimeout {
		t.Errorf("%d %.200s", recorder.Code, recorder.Body)
	}
}

func TestMetricsAndLog(t *testing.T) {
	var lines strings.Builder
	registry := prometheus.NewRegistry()
	h := newHandler(t, webhook.Options{
		Metrics: webhook.NewMetrics(registry),
		Log:     funcr.New(func(_, args string) { lines.WriteString(args + "\n") }, funcr.Options{}),
	})
	post(h, entryPath, reviewWith())
	post(h, entryPath, reviewWith(`"labels":{`, `"labels":{"sidecar.istio.io/inject":"false",`))
	post(h, entryPath, reviewWith(`"checksum/config"`, `"sidecar.istio.io/proxyCPU"`))
	want := `# HELP pillion_injection_requests_total Admission requests by injector, decision and reason.
# TYPE pillion_injection_requests_total counter
pillion_injection_requests_total{decision="deny",injector="default",reason="annotation-invalid"} 1
pillion_injection_requests_total{decision="inject",injector="default",reason="namespace-label"} 1
pillion_injection_requests_total{decision="skip",injector="default",reason="pod-opted-out"} 1
# HELP sidecar_injection_requests_total Admission requests (Istio's name).
# TYPE sidecar_injection_requests_total counter
sidecar_injection_requests_total 3
`
	if err := testutil.GatherAndCompare(registry, strings.NewReader(want), "pillion_injection_requests_total", "sidecar_injection_requests_total"); err != nil {
		t.Error(err)
	}
	log := lines.String()
	if strings.Count(log, `"msg"="inject"`) != 2 {
		t.Errorf("skips are debug, the others a line each:\n%s", log)
	}
	for _, key := range []string{"uid", "ns", "pod", "owner", "injector", "entry", "decision", "reason", "templates", "dry_run", "patch_bytes", "dur_us"} {
		if !strings.Contains(log, `"`+key+`"=`) {
			t.Errorf("no %s in %s", key, log)
		}
	}
}

// FuzzAdmissionReview: whatever is posted, the answer is an AdmissionReview for the same uid or a 4xx/5xx with text, and
// what we read of a review is what Kubernetes reads.
func FuzzAdmissionReview(f *testing.F) {
	f.Add(reviewWith())
	f.Add([]byte(`{}`))
	f.Add([]byte(`{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1","request":{"uid":"\u0061","kind":{"kind":"Pod"},"operation":"CREATE","object":{}}}`))
	h := newHandler(f, webhook.Options{})
	f.Fuzz(func(t *testing.T, body []byte) {
		recorder := post(h, entryPath, body)
		if recorder.Code == http.StatusInternalServerError {
			t.Fatalf("500: %s", recorder.Body)
		}
		if recorder.Code != http.StatusOK {
			text, _ := io.ReadAll(recorder.Body)
			if recorder.Code < 400 || len(text) == 0 {
				t.Fatalf("%d %q", recorder.Code, text)
			}
			return
		}
		var answer struct {
			Response struct {
				UID   string `json:"uid"`
				Patch string `json:"patch"`
			} `json:"response"`
		}
		if err := json.Unmarshal(recorder.Body.Bytes(), &answer); err != nil {
			t.Fatalf("%v: %s", err, recorder.Body)
		}
		if patch, err := base64.StdEncoding.DecodeString(answer.Response.Patch); err != nil || len(patch) > 0 && !json.Valid(patch) {
			t.Fatalf("patch %q: %v", patch, err)
		}
	})
}
