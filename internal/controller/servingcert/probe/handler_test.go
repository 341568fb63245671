package probe

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	admissionv1 "k8s.io/api/admission/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

const testCA = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

func handler() http.Handler {
	return Handler(func(context.Context) string { return testCA }, "pillion-a")
}

func post(t *testing.T, h http.Handler, body []byte) *httptest.ResponseRecorder {
	t.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodPost, Path, bytes.NewReader(body)))
	if got := w.Header().Get("Connection"); got != "close" {
		t.Errorf("Connection: %q: the next probe would come on the same connection", got)
	}
	return w
}

func review(t *testing.T, dryRun *bool, object string) []byte {
	t.Helper()
	text, err := json.Marshal(admissionv1.AdmissionReview{Request: &admissionv1.AdmissionRequest{UID: "7", DryRun: dryRun,
		Operation: admissionv1.Create, Object: runtime.RawExtension{Raw: []byte(object)}}})
	must(t, err)
	return text
}

func TestHandlerAnswers(t *testing.T) {
	nonce := newNonce()
	lease := func(nonce string) string {
		return `{"kind":"Lease","metadata":{"generateName":"pillion-probe-","labels":{"pillion.dev/probe":"` + nonce + `"}}}`
	}
	for _, row := range []struct {
		name   string
		dryRun *bool
		object string
		words  string // of a refusal
	}{
		{"a probe", new(true), lease(nonce), ""},
		{"one to be stored", new(false), lease(nonce), "never stored"},
		{"one to be stored, as it seems", nil, lease(nonce), "never stored"},
		{"no nonce", new(true), lease(""), "32 hexadecimal digits"},
		{"a nonce of its own form", new(true), lease(strings.Repeat("x", 32)), "32 hexadecimal digits"},
		{"labels that aren't", new(true), `{"metadata":{"labels":[]}}`, "can't be read"},
		{"null", new(true), `null`, "can't be read"},
		{"nothing much", new(true), `{}`, "32 hexadecimal digits"},
	} {
		w := post(t, handler(), review(t, row.dryRun, row.object))
		var got admissionv1.AdmissionReview
		must(t, json.Unmarshal(w.Body.Bytes(), &got))
		r := got.Response
		if w.Code != http.StatusOK || r == nil || r.UID != "7" || got.Request != nil || r.Allowed != (row.words == "") {
			t.Fatalf("%s: %d %s", row.name, w.Code, w.Body)
		}
		if row.words != "" {
			if r.Patch != nil || !strings.Contains(r.Result.Message, row.words) {
				t.Errorf("%s: %+v, want %q", row.name, r, row.words)
			}
			continue
		}
		want := `[{"op":"add","path":"/metadata/annotations","value":{"pillion.dev/probe-ca":"` + testCA +
			`","pillion.dev/probe-nonce":"` + nonce + `","pillion.dev/probe-replica":"pillion-a"}}]`
		if string(r.Patch) != want || *r.PatchType != admissionv1.PatchTypeJSONPatch {
			t.Errorf("%s: patch %s\nwant %s", row.name, r.Patch, want)
		}
	}
}

func TestHandlerRefusesWhatIsNoReview(t *testing.T) {
	nobody := Handler(func(context.Context) string { return "" }, "pillion-a")
	for _, row := range []struct {
		name    string
		handler http.Handler
		body    []byte
		code    int
	}{
		{"nothing", handler(), nil, http.StatusBadRequest},
		{"no request", handler(), []byte(`{"kind":"AdmissionReview"}`), http.StatusBadRequest},
		{"garbage", handler(), []byte(`\x00`), http.StatusBadRequest},
		{"too much", handler(), review(t, new(true), `"`+strings.Repeat("a", maxBody)+`"`), http.StatusBadRequest},
		{"a connection nobody knows", nobody, review(t, new(true), `{}`), http.StatusInternalServerError},
	} {
		if w := post(t, row.handler, row.body); w.Code != row.code {
			t.Errorf("%s: %d %s, want %d", row.name, w.Code, w.Body, row.code)
		}
	}
	w := httptest.NewRecorder()
	handler().ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, Path, nil))
	if w.Code != http.StatusMethodNotAllowed {
		t.Errorf("GET: %d", w.Code)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
