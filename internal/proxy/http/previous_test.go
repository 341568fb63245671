package http

import (
	"net/http"
	"testing"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
)

// TestRetryLeavesPriority: the second attempt goes to the next priority, although the first one's host counts as healthy.
func TestRetryLeavesPriority(t *testing.T) {
	answer := func(status int) string {
		return served(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) })
	}
	ranked := cluster("ranked", answer(503), answer(503), answer(200))
	e := ranked.Endpoints.Load()
	hosts := e.Localities[0].Hosts
	e.Localities = []config.Locality{{Hosts: hosts[:2]}, {Priority: 1, Hosts: hosts[2:]}}
	for every, want := range map[uint32]int{0: 503, 1: 200, 2: 503} {
		r := newRig(t, nil, func(r *rig) {
			r.extra = []*config.Cluster{ranked}
			r.route.Forward.Cluster = "ranked"
			r.route.Forward.Retry = &config.RetryPolicy{On: config.Retry5xx, Retries: 1, PreviousPriorities: every}
		})
		client := r.client()
		for range 5 {
			if got, _ := r.do(client, http.MethodGet, "/", ""); got.StatusCode != want {
				t.Errorf("every %d: %d, want %d", every, got.StatusCode, want)
			}
		}
	}
}
