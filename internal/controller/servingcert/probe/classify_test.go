package probe

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"unicode/utf8"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// TestClassify has what API servers write; test/integration/probe has them write it.
func TestClassify(t *testing.T) {
	call := func(text string) error {
		return apierrors.NewInternalError(fmt.Errorf("failed calling webhook %q: %s", entryName, text))
	}
	post := func(cause string) error {
		return call(`failed to call webhook: Post "https://pillion-probe.mesh.svc:443/probe?timeout=5s": ` + cause)
	}
	for _, row := range []struct {
		name    string
		err     error
		result  string
		reached bool
	}{
		{"another CA", post("tls: failed to verify certificate: x509: certificate signed by unknown authority"), ResultX509, true},
		{"another name", post("tls: failed to verify certificate: x509: certificate is valid for a, not b"), ResultX509, true},
		{"an older API server", call(`Post "https://pillion-probe.mesh.svc:443/probe?timeout=5s": x509: certificate has expired or is not yet valid`), ResultX509, true},
		{"late", post("context deadline exceeded"), ResultTimeout, true},
		{"late, as HTTP clients say it", post("context deadline exceeded (Client.Timeout exceeded while awaiting headers)"), ResultTimeout, true},
		{"late to connect", post("dial tcp 10.0.0.1:443: i/o timeout"), ResultTimeout, true},
		{"late to shake hands", post("net/http: TLS handshake timeout"), ResultTimeout, true},
		{"nobody there", post("dial tcp 10.0.0.1:443: connect: connection refused"), ResultOther, true},
		{"no Service", post(`service "pillion-probe" not found`), ResultOther, true},
		{"a refused handshake", post("remote error: tls: bad certificate"), ResultOther, true},
		{"the word alone", post("EOF x509: tls: failed to verify certificate: context deadline exceeded"), ResultOther, true},
		{"an answer that says so", call(`failed to call webhook: an error on the server ("x509: no") has prevented the request from succeeding`), ResultOther, true},
		{"no answer to it", call("received invalid webhook response: expected response.uid=\"a\", got \"b\""), ResultOther, true},
		{"refused by us", &apierrors.StatusError{ErrStatus: refusal(`admission webhook "probe.pillion.dev" denied the request: no`)}, ResultOther, true},
		{"refused by others", &apierrors.StatusError{ErrStatus: refusal(`admission webhook "policy.example" denied the request: x509: no`)}, ResultOther, false},
		{"another webhook", apierrors.NewInternalError(errors.New(`failed calling webhook "policy.example": failed to call webhook: Post "https://a": x509: certificate signed by unknown authority`)), ResultOther, false},
		{"no permission", apierrors.NewForbidden(schema.GroupResource{Resource: "leases"}, "", errors.New("x509: no")), ResultOther, false},
		{"no such user", apierrors.NewUnauthorized("Unauthorized"), ResultOther, false},
		{"busy", apierrors.NewTooManyRequests("later", 1), ResultOther, false},
		{"the API server isn't trusted", &url.Error{Op: "Post", URL: "https://10.0.0.1:6443", Err: x509.UnknownAuthorityError{}}, ResultOther, false},
		{"the API server is gone", &url.Error{Op: "Post", URL: "https://10.0.0.1:6443", Err: context.DeadlineExceeded}, ResultTimeout, false},
	} {
		if result, reached := classify(row.err); result != row.result || reached != row.reached {
			t.Errorf("%s: %s, reached %t; want %s, %t", row.name, result, reached, row.result, row.reached)
		}
	}
}

func TestClip(t *testing.T) {
	long := strings.Repeat("ä", maxText)
	if got := clip("x" + long); len(got) > maxText+len("…") || !utf8.ValidString(got) || !strings.HasSuffix(got, "ä…") {
		t.Errorf("%d bytes: %q", len(got), got)
	}
	if got := clip("short"); got != "short" {
		t.Errorf("%q", got)
	}
}

func TestEvidence(t *testing.T) {
	nonce, ca := newNonce(), "sha256:"+strings.Repeat("0f", 32)
	good := func(change func(map[string]string)) map[string]string {
		a := map[string]string{annotationNonce: nonce, annotationReplica: "pillion-6f7c-x2x", annotationCA: ca}
		change(a)
		return a
	}
	for _, row := range []struct {
		name        string
		annotations map[string]string
		words       string
	}{
		{"an answer", good(func(map[string]string) {}), ""},
		{"nobody asked", nil, "didn't call"},
		{"another's answer", good(func(a map[string]string) { a[annotationNonce] = newNonce() }), "another probe"},
		{"no replica", good(func(a map[string]string) { delete(a, annotationReplica) }), "doesn't name"},
		{"a replica of many lines", good(func(a map[string]string) { a[annotationReplica] = "a\nlevel=error" }), "doesn't name"},
		{"a long replica", good(func(a map[string]string) { a[annotationReplica] = strings.Repeat("a", 254) }), "doesn't name"},
		{"no CA", good(func(a map[string]string) { delete(a, annotationCA) }), "doesn't name"},
		{"more than a CA", good(func(a map[string]string) { a[annotationCA] += "\n" }), "doesn't name"},
	} {
		replica, got, err := evidence(row.annotations, nonce)
		switch {
		case row.words == "" && (err != nil || replica != "pillion-6f7c-x2x" || got != ca):
			t.Errorf("%s: %q, %q, %v", row.name, replica, got, err)
		case row.words != "" && (err == nil || !strings.Contains(err.Error(), row.words) || replica != "" || got != ""):
			t.Errorf("%s: %q, %q, %v; want %q", row.name, replica, got, err, row.words)
		}
	}
	if newNonce() == nonce || !nonceForm.MatchString(nonce) {
		t.Errorf("nonce %q", nonce)
	}
}
