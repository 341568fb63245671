package proxy

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
)

// TestFailNow: an answer that says so takes its host out of a cluster with health checks until these find it well; the
// client sees the field, as from Envoy.
func TestFailNow(t *testing.T) {
	var ill atomic.Bool
	application := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		switch {
		case q.URL.Path == "/healthz" && ill.Load():
			w.WriteHeader(http.StatusServiceUnavailable)
		case q.URL.Path == "/leave":
			ill.Store(true)
			w.Header().Set("x-envoy-immediate-health-check-fail", "true")
		}
	}))
	defer application.Close()
	const checks = `"common_lb_config": {"healthy_panic_threshold": {}}, "health_checks": [{"timeout": "20s", "interval": "0.001s", "unhealthy_threshold": 1000, "healthy_threshold": 1,
		"http_health_check": {"path": "/healthz"}}],`
	r := newRig(t, func(o *Options) {
		o.Bootstrap = guarded(t, "", httpTerminal, clusterJSON("app", application.Listener.Addr().String(), checks))
	})
	r.sendTo("127.0.0.1:80")
	<-r.Warm()
	say := func(path, want string) {
		t.Helper()
		eventually(t, path+" "+want, func() error {
			got := ask(t, r.inbound, "GET "+path+" HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
			if !strings.Contains(got, want) {
				return fmt.Errorf("%q", got)
			}
			return nil
		})
	}
	say("/", "HTTP/1.1 200 ")
	say("/leave", "x-envoy-immediate-health-check-fail: true\r\n")
	if got := ask(t, r.inbound, "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"); !strings.Contains(got, "HTTP/1.1 503 ") || !strings.Contains(got, "no healthy upstream") {
		t.Errorf("after it left: %q", got)
	}
	if got := r.upstream.Cluster("app").Status().Hosts[0].HealthFlags; got != "/failed_active_hc/excluded_via_immediate_hc_fail" {
		t.Errorf("flags %s", got)
	}
	if got := r.store.Cluster("app").Health.PassiveFailure.Load(); got != 1 {
		t.Errorf("passive_failure: %d", got)
	}
	ill.Store(false)
	say("/", "HTTP/1.1 200 ")
}
