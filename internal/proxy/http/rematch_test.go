package http

import (
	"fmt"
	"net/http"
	"testing"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
	"github.com/pillion-mesh/pillion/internal/proxy/httpfilter"
)

// A filter with clear_route_cache has the route chosen anew by what it has found out, and what the new route says of the
// filters behind it counts.
func TestClearRouteCache(t *testing.T) {
	service := served(t, func(w http.ResponseWriter, r *http.Request) { w.Header().Set("X-User", r.Header.Get("X-Asks")) })
	backend := func(name string) string {
		return served(t, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, name) })
	}
	plain, special := backend("plain"), backend("special")
	for _, clears := range []bool{false, true} {
		r := newRig(t, []string{plain}, func(r *rig) {
			r.extra = append(r.extra, cluster("authz", service), cluster("special", special))
			route := func(user, cluster string) *config.Route {
				return &config.Route{Match: config.RouteMatch{Path: "/", Headers: []config.HeaderMatch{{
					Name: "x-user", Value: &config.StringMatch{Kind: config.StringExact, Value: user},
				}}}, Forward: &config.Forward{Cluster: cluster}}
			}
			refused := route("nobody", "special")
			refused.Overrides = config.Overrides{"rbac": {Config: &config.RBAC{Rules: &config.RBACRules{}}}} // allows nobody
			routes := &r.table.VirtualHosts[0].Routes
			*routes = append([]*config.Route{route("me", "special"), refused}, *routes...)
			r.cfg.Filters = []config.HTTPFilter{
				{Name: "authz", Config: &config.ExtAuthz{
					HTTPCluster: "authz", ClearRouteCache: clears, Timeout: patient,
					RequestHeaders:  []config.StringMatch{{Kind: config.StringExact, Value: "x-asks"}},
					UpstreamHeaders: []config.StringMatch{{Kind: config.StringExact, Value: "x-user"}},
				}},
				{Name: "rbac", Config: &config.RBAC{}},
			}
			r.engine.opts.Filters = func(m *config.HTTPManager) (Filters, error) {
				return httpfilter.Compile(m, httpfilter.Deps{Call: r.engine.Call, Body: r.engine.Body})
			}
		})
		for asks, want := range map[string]string{"me": "200 special", "you": "200 plain", "nobody": "403 RBAC: access denied"} {
			if !clears {
				want = "200 plain"
			}
			req, _ := http.NewRequest(http.MethodGet, "http://"+r.address+"/", http.NoBody)
			req.Header.Set("X-Asks", asks)
			answer, err := r.client().Do(req)
			if err != nil {
				t.Fatal(err)
			}
			body := make([]byte, 100)
			n, _ := answer.Body.Read(body)
			answer.Body.Close()
			if got := fmt.Sprintf("%d %s", answer.StatusCode, body[:n]); got != want {
				t.Errorf("clear_route_cache %v, %q: %q, want %q", clears, asks, got, want)
			}
		}
	}
}
