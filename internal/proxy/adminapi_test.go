package proxy

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"

	adminv3 "github.com/envoyproxy/go-control-plane/envoy/admin/v3"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/pillion-mesh/pillion/internal/proxy/config/xds"
)

const adminBootstrap = `{"node": {"id": "sidecar~1", "cluster": "c", "metadata": {"ISTIO_VERSION": "1.30.0"}},
 "layered_runtime": {"layers": [{"name": "static", "static_layer": {"a": 1}}, {"name": "admin", "admin_layer": {}}]},
 "static_resources": {
  "listeners": [{"name": "virtualInbound", "address": {"socket_address": {"address": "0.0.0.0", "port_value": 15006}},
    "filter_chains": [{"filters": [{"name": "tcp", "typed_config": {
      "@type": "type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy", "stat_prefix": "own", "cluster": "app"}}]}]}],
  "clusters": [{"name": "app", "type": "STATIC", "outlier_detection": {}, "load_assignment": {"cluster_name": "app", "endpoints": [{"locality": {"zone": "z"}, "lb_endpoints": [
    {"endpoint": {"hostname": "h", "address": {"socket_address": {"address": "127.0.0.1", "port_value": 7001}}}},
    {"endpoint": {"address": {"pipe": {"path": "/run/app.sock"}}}, "health_status": "UNHEALTHY"}]}]}}]}}`

// TestAdminAPI asks a whole proxy at each endpoint of its admin API. JSON is what Envoy's messages are made of, nothing
// else: tools read it strictly.
func TestAdminAPI(t *testing.T) {
	b, err := xds.Bootstrap([]byte(adminBootstrap))
	if err != nil {
		t.Fatal(err)
	}
	admin, err := net.Listen("tcp4", "127.0.0.1:0") // the name its guard knows
	if err != nil {
		t.Fatal(err)
	}
	r := newRig(t, func(o *Options) {
		o.Bootstrap, o.UID, o.Version = b, uint32(os.Getuid()), "sha/1/Clean/RELEASE/Go"
		o.Labels.Build = "1"
	})
	if err := r.Take(map[string]net.Listener{"15000/tcp4": admin}); err != nil {
		t.Fatal(err)
	}
	url := "http://" + admin.Addr().String()
	help := adminCall(t, http.MethodGet, url+"/help")
	for _, c := range []struct {
		path, want string
		message    proto.Message // of JSON
	}{
		{"/", "<html", nil},
		{"/certs", "", &adminv3.Certificates{}},
		{"/clusters", "app::127.0.0.1:7001::health_flags::healthy\n", nil},
		{"/clusters?format=json", `"eds_health_status"`, &adminv3.Clusters{}},
		{"/config_dump", "envoy.admin.v3.SecretsConfigDump", &adminv3.ConfigDump{}},
		{"/config_dump?include_eds", "envoy.admin.v3.EndpointsConfigDump", &adminv3.ConfigDump{}},
		{"/config_dump?resource=static_clusters", `"app"`, &adminv3.ConfigDump{}},
		{"/contention", "\n", nil},
		{"/explain?dst=10.0.0.1:80&direction=inbound", "to 127.0.0.1:7001 of app", nil},
		{"/heap_dump", "\x1f\x8b", nil},
		{"/help", "admin commands are:\n", nil},
		{"/hot_restart_version", "1.0", nil},
		{"/init_dump", "", &adminv3.UnreadyTargetsDumps{}},
		{"/listeners", "virtualInbound::0.0.0.0:15006\n", nil},
		{"/listeners?format=json", "", &adminv3.Listeners{}},
		{"/memory", "allocated", &adminv3.Memory{}},
		{"/ready", "LIVE\n", nil},
		{"/runtime", `"final_value"`, nil},
		{"/server_info", `"LIVE"`, &adminv3.ServerInfo{}},
		{"/stats", "server.live: 1\n", nil},
		{"/stats/prometheus", "envoy_server_live", nil},
		{"/stats/recentlookups", "Lookup tracking is not enabled", nil},
		{"/tap?status=1", "status", nil},
	} {
		path, _, _ := strings.Cut(c.path, "?")
		if !strings.Contains(help, "  "+path+": ") {
			t.Errorf("%s isn't in the help", path)
		}
		body := adminCall(t, http.MethodGet, url+c.path)
		if !strings.Contains(body, c.want) {
			t.Errorf("%s: no %q in\n%.2000s", c.path, c.want, body)
		}
		if c.message == nil {
			continue
		}
		if err := protojson.Unmarshal([]byte(body), c.message); err != nil {
			t.Errorf("%s: %v\n%.2000s", c.path, err, body)
		}
	}
	clusters := &adminv3.Clusters{}
	if err := protojson.Unmarshal([]byte(adminCall(t, http.MethodGet, url+"/clusters?format=json")), clusters); err != nil || len(clusters.ClusterStatuses) != 1 {
		t.Fatalf("%v, %v", clusters, err)
	}
	hosts := clusters.ClusterStatuses[0].HostStatuses
	if len(hosts) != 2 || hosts[0].GetAddress().GetSocketAddress().GetPortValue() != 7001 || hosts[1].GetAddress().GetPipe().GetPath() != "/run/app.sock" ||
		hosts[0].GetHealthStatus().GetEdsHealthStatus().String() != "HEALTHY" || hosts[1].GetHealthStatus().GetEdsHealthStatus().String() != "UNHEALTHY" {
		t.Errorf("%v", hosts)
	}
	for line := range strings.Lines(help) {
		path, _, _ := strings.Cut(strings.TrimSpace(line), ": ")
		if !strings.HasSuffix(line, " (POST)\n") {
			continue
		}
		if body := adminCall(t, http.MethodGet, url+path); body != "Method GET not allowed, POST required." {
			t.Errorf("GET %s: %q", path, body)
		}
	}
}

func adminCall(t *testing.T, method, url string) string {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, url, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(fmt.Errorf("%s: %w", url, err))
	}
	return string(body)
}
