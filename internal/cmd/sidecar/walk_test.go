package sidecar

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/pillion-mesh/pillion/internal/capture/nstest"
	"github.com/pillion-mesh/pillion/internal/cli/proxyconfig"
	"github.com/pillion-mesh/pillion/internal/istio"
	"github.com/pillion-mesh/pillion/test/ads/plane"
)

const bill = "bill-service.istio-demo.svc.cluster.local"

// controlPlane serves plane.Walk over ADS at a Unix socket: namespaces of the network don't part those.
type controlPlane struct {
	t      *testing.T
	socket string
	*plane.Plane
}

func startControlPlane(t *testing.T) *controlPlane {
	p := &controlPlane{t, filepath.Join(filepath.Dir(runDir(t)), "xds.sock"), plane.New()}
	l, err := net.Listen("unix", p.socket)
	if err == nil {
		err = os.Chmod(p.socket, 0o777)
	}
	if err != nil {
		t.Fatal(err)
	}
	var served sync.WaitGroup
	served.Go(func() { _ = p.Serve(l) })
	t.Cleanup(func() { p.Close(); served.Wait() })
	return p
}

// serve is what the control plane says from now on; v1 and v2 are where the versions of the service are.
func (p *controlPlane) serve(version, v1, v2 string) {
	p.t.Helper()
	resources, err := plane.Walk(strings.NewReplacer("PEER4", v1, "PEER6", v2))
	if err == nil {
		err = p.Set(version, resources)
	}
	if err != nil {
		p.t.Fatal(err)
	}
}

func walkFile(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", "walk", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// bootstrap writes a bootstrap that leads to the control plane, and returns the variable that names it.
func (p *controlPlane) bootstrap() string {
	p.t.Helper()
	file := filepath.Join(filepath.Dir(p.socket), "bootstrap.json")
	if err := os.WriteFile(file, []byte(strings.ReplaceAll(walkFile(p.t, "bootstrap.json"), "SOCKET", p.socket)), 0o644); err != nil {
		p.t.Fatal(err)
	}
	return "ISTIO_BOOTSTRAP_OVERRIDE=" + file
}

// billService is the application: it says over which family it was reached, and who asked.
func billService(t *testing.T, ns *nstest.Namespace) {
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		version := "v1"
		if strings.HasPrefix(r.RemoteAddr, "[") {
			version = "v2"
		}
		fmt.Fprintf(w, "%s %s %s", version, r.RemoteAddr[:strings.LastIndex(r.RemoteAddr, ":")], r.Host)
	})}
	for _, network := range []string{"tcp4", "tcp6"} {
		var l net.Listener
		ns.Must(t, func() (err error) { l, err = net.Listen(network, ":80"); return err })
		go func() { _ = server.Serve(l) }()
	}
	t.Cleanup(func() { _ = server.Close() })
}

// TestWalk follows a request through two pods as founding document 003 does: the listener of its port, the route of
// that name, clusters by weight, an endpoint; then the inbound listener of the other pod. Both sidecars get all of it
// over ADS from another program's server.
func TestWalk(t *testing.T) {
	control := startControlPlane(t)
	control.serve("1", nstest.PeerV4, nstest.PeerV6)
	pod := nstest.NewPod(t)
	applyCapture(t, pod.Namespace)
	applyCapture(t, pod.Peer)
	billService(t, pod.Peer)
	front, back := startSidecar(t, pod.Namespace, control.bootstrap()), startSidecar(t, pod.Peer, control.bootstrap())

	ask := func() (string, error) {
		request, err := http.NewRequest(http.MethodGet, "http://10.111.219.247:9999/bills", http.NoBody)
		if err != nil {
			return "", err
		}
		request.Host = "bill-service:9999"
		answer, err := front.client().Do(request)
		if err != nil {
			return "", err
		}
		defer answer.Body.Close()
		body, err := io.ReadAll(answer.Body)
		if err == nil && answer.StatusCode != http.StatusOK {
			err = fmt.Errorf("%s: %s", answer.Status, body)
		}
		return string(body), err
	}
	counts := map[string]int{}
	const requests = 300
	for range requests {
		body, err := ask()
		if err != nil {
			t.Fatalf("after %v: %v", counts, err)
		}
		counts[body]++
	}
	v1, v2 := counts["v1 127.0.0.6 bill-service:9999"], counts["v2 [::6] bill-service:9999"]
	if v1+v2 != requests || v1 < requests*80/100 || v2 < requests*2/100 {
		t.Errorf("answers: %v, want 90 %% of v1 and 10 %% of v2", counts)
	}
	t.Run("the walk by proxy-config", func(t *testing.T) { walk(t, front, back) })
	t.Run("the metrics", func(t *testing.T) {
		if n := front.metric("envoy_cluster_upstream_rq_total", map[string]string{"cluster_name": "outbound|9999|v1|" + bill}); int(n) != v1 {
			t.Errorf("requests to v1: %v, want %d", n, v1)
		}
		for name, want := range map[string]float64{
			"envoy_control_plane_connected_state": 1, "envoy_listener_manager_lds_update_success": 1, "envoy_cluster_manager_cds_update_success": 1,
			"envoy_listener_manager_total_listeners_active": 3, "envoy_cluster_manager_active_clusters": 7, "envoy_listener_manager_lds_update_rejected": 0,
		} {
			if n := front.metric(name, nil); n != want {
				t.Errorf("%s is %v, want %v", name, n, want)
			}
		}
	})
	t.Run("explained", func(t *testing.T) { explained(t, front, back) })
	t.Run("a new endpoint", func(t *testing.T) {
		control.serve("2", nstest.PeerV4, nstest.PeerV4) // both versions in one place
		front.eventually("the old endpoint is used no longer", func() error {
			for range 50 {
				if body, err := ask(); err != nil || !strings.HasPrefix(body, "v1 ") {
					return fmt.Errorf("%s, %w", body, err)
				}
			}
			return nil
		})
	})
	if refused := control.Refused(); len(refused) > 0 {
		t.Errorf("refused: %q", refused)
	}
}

// walk asks what the founding document asks, in its order.
func walk(t *testing.T, front, back *sidecar) {
	dumpOf := func(s *sidecar) *proxyconfig.Dump {
		code, text := s.request(istio.ProxyUID, "GET", "/config_dump?include_eds")
		d, err := proxyconfig.ParseDump([]byte(text))
		if code != 0 || err != nil {
			t.Fatalf("exit %d, %v: %.500s", code, err, text)
		}
		return d
	}
	f, b := dumpOf(front), dumpOf(back)
	for name, c := range map[string]struct {
		write func(io.Writer) error
		want  []string
	}{
		"virtualOutbound": {func(w io.Writer) error {
			return f.WriteListeners(w, proxyconfig.ListenerFilter{Port: 15001}, false, "json")
		}, []string{`"useOriginalDst": true`}},
		"listeners": {func(w io.Writer) error {
			return f.WriteListeners(w, proxyconfig.ListenerFilter{Port: 9999}, false, "table")
		}, []string{"0.0.0.0 9999 Trans: raw_buffer; App: HTTP Route: 9999", "0.0.0.0 9999 ALL PassthroughCluster"}},
		"routes":   {func(w io.Writer) error { return f.WriteRoutes(w, w, proxyconfig.RouteFilter{Name: "9999"}, "table") }, []string{"9999 bill-service /* vs-bill-service.istio-demo"}},
		"clusters": {func(w io.Writer) error { return f.WriteClusters(w, proxyconfig.ClusterFilter{FQDN: bill}, "table") }, []string{bill + " 9999 v1 outbound EDS", bill + " 9999 v2 outbound EDS"}},
		"endpoints": {func(w io.Writer) error {
			return f.WriteEDS(w, proxyconfig.EndpointFilter{Cluster: "outbound|9999|v1|" + bill}, "table")
		}, []string{nstest.PeerV4 + ":80 HEALTHY outbound|9999|v1|" + bill}},
		"virtualInbound": {func(w io.Writer) error {
			return b.WriteListeners(w, proxyconfig.ListenerFilter{Port: 15006}, false, "table")
		}, []string{"0.0.0.0 15006 Trans: raw_buffer; Addr: *:80 Cluster: inbound|80||"}},
		"inbound route": {func(w io.Writer) error {
			return b.WriteRoutes(w, w, proxyconfig.RouteFilter{Name: "inbound|80||"}, "json")
		}, []string{`"operation": "` + bill + `:9999/*"`}},
		"inbound cluster": {func(w io.Writer) error {
			return b.WriteClusters(w, proxyconfig.ClusterFilter{FQDN: "inbound|80||"}, "json")
		}, []string{`"address": "127.0.0.6"`, `"cleanupInterval": "60s",`}},
	} {
		var out bytes.Buffer
		if err := c.write(&out); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		lines := "\n"
		for line := range strings.Lines(out.String()) {
			lines += strings.Join(strings.Fields(line), " ") + "\n"
		}
		for _, want := range c.want {
			if !strings.Contains(lines, "\n"+want) {
				t.Errorf("%s: no line %q in\n%s", name, want, out.String())
			}
		}
	}
	code, text := front.request(istio.ProxyUID, "GET", "/clusters?format=json")
	clusters, err := proxyconfig.ParseClusters([]byte(text))
	if code != 0 || err != nil || !strings.Contains(text, nstest.PeerV4) || len(clusters.GetClusterStatuses()) < 6 {
		t.Errorf("clusters: exit %d, %v: %.300s", code, err, text)
	}
}

// explained asks the proxies what they would do, and why.
func explained(t *testing.T, front, back *sidecar) {
	for query, c := range map[string]struct {
		of   *sidecar
		want []string
	}{
		"direction=outbound&dst=10.111.219.247:9999&host=bill-service:9999": {front, []string{"0.0.0.0_9999", "bill-service-route", "weight", ":80 of outbound|9999|v"}},
		"direction=outbound&dst=10.111.219.247:9999&host=other":             {front, []string{"allow_any", "to 10.111.219.247:9999 of PassthroughCluster"}},
		"direction=outbound&dst=10.0.0.9:25":                                {front, []string{"to 10.0.0.9:25 of PassthroughCluster"}},
		"direction=outbound&dst=10.0.0.9:15001":                             {front, []string{"BlackHoleCluster: "}},
		"direction=inbound&dst=" + nstest.PeerV4 + ":80&path=/":             {back, []string{"inbound|http|9999", "to " + nstest.PeerV4 + ":80 of inbound|80||, from 127.0.0.6"}},
	} {
		code, text := c.of.request(istio.ProxyUID, "GET", "/explain?"+query)
		t.Logf("%s\n%s", query, text)
		for _, want := range c.want {
			if code != 0 || !strings.Contains(text, want) {
				t.Errorf("%s: exit %d, no %q in\n%s", query, code, want, text)
			}
		}
	}
	code, text := front.request(istio.ProxyUID, "GET", "/explain?direction=outbound&dst=10.0.0.9:25&format=json")
	var told struct {
		Steps []struct{ What, Reason string }
	}
	if err := json.Unmarshal([]byte(text), &told); code != 0 || err != nil || len(told.Steps) < 2 {
		t.Errorf("as JSON: exit %d, %v: %s", code, err, text)
	}
}
