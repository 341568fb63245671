package dump

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	adminv3 "github.com/envoyproxy/go-control-plane/envoy/admin/v3"
	bootstrapv3 "github.com/envoyproxy/go-control-plane/envoy/config/bootstrap/v3"
	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	managerv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"
)

var when = time.Date(2026, 11, 22, 1, 2, 3, 0, time.UTC)

func packed(t testing.TB, m proto.Message) *anypb.Any {
	t.Helper()
	a, err := anypb.New(m)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func shown(t testing.TB, version string, m proto.Message) *Resource {
	t.Helper()
	a := packed(t, m)
	return &Resource{Version: version, Type: a.GetTypeUrl(), Raw: a.GetValue, Updated: when}
}

func inline(s string) *corev3.DataSource {
	return &corev3.DataSource{Specifier: &corev3.DataSource_InlineString{InlineString: s}}
}

// sample has something in every section.
func sample(t testing.TB) *Config {
	t.Helper()
	key := &tlsv3.TlsCertificate{CertificateChain: inline("CHAIN"), PrivateKey: inline("KEY"), Password: inline("PASSWORD")}
	tls := packed(t, &tlsv3.UpstreamTlsContext{CommonTlsContext: &tlsv3.CommonTlsContext{TlsCertificates: []*tlsv3.TlsCertificate{key}}})
	cluster := &clusterv3.Cluster{
		Name: "c", ConnectTimeout: durationpb.New(5 * time.Second),
		LoadAssignment:  &endpointv3.ClusterLoadAssignment{ClusterName: "c"},
		TransportSocket: &corev3.TransportSocket{Name: "tls", ConfigType: &corev3.TransportSocket_TypedConfig{TypedConfig: tls}},
	}
	manager := &managerv3.HttpConnectionManager{
		StatPrefix:     "h",
		RouteSpecifier: &managerv3.HttpConnectionManager_RouteConfig{RouteConfig: &routev3.RouteConfiguration{Name: "inline"}},
		HttpFilters: []*managerv3.HttpFilter{{Name: "x", ConfigType: &managerv3.HttpFilter_TypedConfig{
			TypedConfig: &anypb.Any{TypeUrl: "type.googleapis.com/nobody.knows.Filter", Value: []byte("\x0a\x01z")},
		}}},
	}
	listener := &listenerv3.Listener{Name: "l", FilterChains: []*listenerv3.FilterChain{{Filters: []*listenerv3.Filter{{
		Name: "hcm", ConfigType: &listenerv3.Filter_TypedConfig{TypedConfig: packed(t, manager)}}}}}}
	secret := &tlsv3.Secret{Name: "default", Type: &tlsv3.Secret_TlsCertificate{TlsCertificate: key}}
	return &Config{
		Bootstrap: shown(t, "", &bootstrapv3.Bootstrap{Node: &corev3.Node{Id: "n"}, StaticResources: &bootstrapv3.Bootstrap_StaticResources{Secrets: []*tlsv3.Secret{secret}}}),
		Clusters: Set{Version: "7", Static: []State{{Name: "c", Active: shown(t, "", cluster)}}, Dynamic: []State{
			{Name: "d", Active: shown(t, "6", &clusterv3.Cluster{Name: "d"}), Warming: shown(t, "7", &clusterv3.Cluster{Name: "d", AltStatName: "s"}), Failure: &Failure{"8", "no", when}},
		}},
		Extensions: Set{Dynamic: []State{{Name: "e", Active: shown(t, "1", &corev3.TypedExtensionConfig{Name: "e"})}}},
		Endpoints:  Set{Dynamic: []State{{Name: "d", Active: shown(t, "3", &endpointv3.ClusterLoadAssignment{ClusterName: "d"})}}},
		Listeners: Set{Version: "5", Static: []State{{Name: "l", Active: shown(t, "", listener)}}, Dynamic: []State{
			{Name: "m", Active: shown(t, "5", &listenerv3.Listener{Name: "m"})}, {Name: "bad", Failure: &Failure{"5", "why", when}},
		}},
		Routes:  Set{Dynamic: []State{{Name: "80", Active: shown(t, "4", &routev3.RouteConfiguration{Name: "80"})}}},
		Secrets: Set{Dynamic: []State{{Name: "default", Active: shown(t, "9", secret)}, {Name: "ROOTCA"}}},
	}
}

func query(t testing.TB, raw string) Query {
	t.Helper()
	v, err := url.ParseQuery(raw)
	if err != nil {
		t.Fatal(err)
	}
	q, err := ParseQuery(v)
	if err != nil {
		t.Fatal(err)
	}
	return q
}

// read writes a dump and reads it as istioctl does.
func read(t *testing.T, c *Config, raw string) (*adminv3.ConfigDump, string) {
	t.Helper()
	var out bytes.Buffer
	if err := Write(&out, c, query(t, raw)); err != nil {
		t.Fatalf("?%s: %v", raw, err)
	}
	if !json.Valid(out.Bytes()) {
		t.Fatalf("?%s: no JSON:\n%s", raw, out.String())
	}
	text := strings.ReplaceAll(out.String(), `"@type": "type.googleapis.com/nobody.knows.Filter"`, `"@type": "type.googleapis.com/google.protobuf.Duration", "value": "1s"`)
	d := &adminv3.ConfigDump{}
	if err := protojson.Unmarshal([]byte(text), d); err != nil {
		t.Fatalf("?%s: %v\n%s", raw, err, out.String())
	}
	return d, out.String()
}

func types(d *adminv3.ConfigDump) (names []string) {
	for _, c := range d.GetConfigs() {
		names = append(names, strings.TrimPrefix(c.GetTypeUrl(), "type.googleapis.com/envoy.admin.v3."))
	}
	return names
}

func TestSectionsAndOrder(t *testing.T) {
	want := []string{"BootstrapConfigDump", "ClustersConfigDump", "EcdsConfigDump", "ListenersConfigDump", "ScopedRoutesConfigDump", "RoutesConfigDump", "SecretsConfigDump"}
	for _, c := range []*Config{{}, sample(t)} {
		if d, _ := read(t, c, ""); !slices.Equal(types(d), want) {
			t.Errorf("sections are %v", types(d))
		}
		d, _ := read(t, c, "include_eds")
		if got := types(d); len(got) != 8 || got[3] != "EndpointsConfigDump" {
			t.Errorf("with include_eds: %v", got)
		}
	}
}

func TestWhatIstioctlReads(t *testing.T) {
	d, text := read(t, sample(t), "include_eds=true")
	var clusters adminv3.ClustersConfigDump
	var endpoints adminv3.EndpointsConfigDump
	var listeners adminv3.ListenersConfigDump
	var routes adminv3.RoutesConfigDump
	var secrets adminv3.SecretsConfigDump
	for i, m := range map[int]proto.Message{1: &clusters, 3: &endpoints, 4: &listeners, 6: &routes, 7: &secrets} {
		if err := d.GetConfigs()[i].UnmarshalTo(m); err != nil {
			t.Fatal(err)
		}
	}
	var c clusterv3.Cluster
	active := clusters.GetDynamicActiveClusters()[0]
	if err := active.GetCluster().UnmarshalTo(&c); err != nil || c.GetName() != "d" || active.GetVersionInfo() != "6" || !active.GetLastUpdated().AsTime().Equal(when) {
		t.Errorf("active cluster %v", active)
	}
	if active.GetErrorState().GetDetails() != "no" || active.GetErrorState().GetVersionInfo() != "8" || clusters.GetVersionInfo() != "7" || len(clusters.GetStaticClusters()) != 1 {
		t.Errorf("clusters %v", &clusters)
	}
	if w := clusters.GetDynamicWarmingClusters(); len(w) != 1 || w[0].GetVersionInfo() != "7" {
		t.Errorf("warming clusters %v", w)
	}
	if len(endpoints.GetStaticEndpointConfigs()) != 1 || len(endpoints.GetDynamicEndpointConfigs()) != 1 {
		t.Errorf("endpoints %v", &endpoints)
	}
	if l := listeners.GetDynamicListeners(); len(l) != 2 || l[0].GetActiveState().GetVersionInfo() != "5" || l[1].GetErrorState().GetDetails() != "why" || l[1].GetActiveState() != nil {
		t.Errorf("listeners %v", l)
	}
	if len(routes.GetStaticRouteConfigs()) != 1 || len(routes.GetDynamicRouteConfigs()) != 1 {
		t.Errorf("routes %v", &routes)
	}
	if len(secrets.GetDynamicActiveSecrets()) != 1 || secrets.GetDynamicWarmingSecrets()[0].GetName() != "ROOTCA" {
		t.Errorf("secrets %v", &secrets)
	}
	if !strings.Contains(text, "nobody.knows.Filter") {
		t.Error("a filter of an unknown type lost its type")
	}
}

// TestNoKeyIsShown: in secrets, in clusters' packed TLS contexts, in the bootstrap.
func TestNoKeyIsShown(t *testing.T) {
	_, text := read(t, sample(t), "")
	if strings.Contains(text, "KEY") || strings.Contains(text, "PASSWORD") {
		t.Errorf("a key is shown:\n%s", text)
	}
	if n := strings.Count(text, `"inline_bytes": "W3JlZGFjdGVkXQ=="`); n != 6 {
		t.Errorf("%d redacted values, want key and password three times", n)
	}
	if strings.Count(text, "CHAIN") != 3 {
		t.Error("certificates are public and must be shown")
	}
}

func TestQueries(t *testing.T) {
	for _, c := range []struct{ query, has, hasNot string }{
		{"mask=bootstrap.node", `"id": "n"`, "static_resources"},
		{"mask=dynamic_active_clusters", `"dynamic_active_clusters"`, `"static_clusters"`},
		{"resource=dynamic_active_clusters", `envoy.admin.v3.ClustersConfigDump.DynamicCluster"`, "BootstrapConfigDump"},
		{"resource=dynamic_warming_clusters&mask=cluster.name,version_info", `"version_info": "7"`, "alt_stat_name"},
		{"resource=dynamic_listeners&mask=active_state.listener.name", `"name": "m"`, "version_info"},
		{"resource=dynamic_route_configs", `"name": "80"`, "inline"},
		{"name_regex=d", `"name": "d"`, `"name": "c"`},
		{"name_regex=.*&resource=static_route_configs", "inline", "BootstrapConfigDump"},
		{"resource=dynamic_endpoint_configs&include_eds", `"cluster_name": "d"`, "Bootstrap"},
		{"resource=dynamic_active_secrets&mask=name", `"name": "default"`, "redacted"},
	} {
		_, text := read(t, sample(t), c.query)
		if !strings.Contains(text, c.has) || strings.Contains(text, c.hasNot) {
			t.Errorf("?%s: want %s and not %s in\n%s", c.query, c.has, c.hasNot, text)
		}
	}
}

func TestBadQueries(t *testing.T) {
	for _, c := range []struct {
		query  string
		status int
		text   string
	}{
		{"mask=nothing", 400, "FieldMask nothing could not be successfully applied to any configs."},
		{"mask=static_clusters.cluster", 400, "FieldMask static_clusters.cluster could not be successfully applied to any configs."},
		{"mask=bootstrap,version_info", 400, "FieldMask bootstrap,version_info could not be successfully applied to any configs."},
		{"resource=bootstrap", 400, "bootstrap is not a repeated field. Use ?mask=bootstrap to get only this field"},
		{"resource=nothing", 404, "nothing not found in config dump"},
		{"resource=dynamic_endpoint_configs", 404, "dynamic_endpoint_configs not found in config dump"},
		{"resource=static_clusters&mask=nothing", 400, "FieldMask"},
	} {
		var out bytes.Buffer
		err, ok := errors.AsType[*Error](Write(&out, sample(t), query(t, c.query)))
		if !ok || err.Status != c.status || !strings.HasPrefix(err.Text, c.text) || out.Len() != 0 {
			t.Errorf("?%s: %v, %d bytes written", c.query, err, out.Len())
		}
	}
	if _, err := ParseQuery(url.Values{"name_regex": {"("}}); err == nil {
		t.Error("a broken expression was taken")
	}
}

// TestBrokenResource: bytes that can't be shown cost their own element only.
func TestBrokenResource(t *testing.T) {
	c := sample(t)
	c.Clusters.Dynamic[0].Active.Raw = func() []byte { return []byte{0xff} }
	d, text := read(t, c, "")
	if len(d.GetConfigs()) != 7 || !strings.Contains(text, `"version_info": "6"`) {
		t.Error(text)
	}
}

func FuzzQuery(f *testing.F) {
	for _, s := range []string{"mask=bootstrap.node", "resource=dynamic_listeners&mask=active_state.listener.name,name", "name_regex=.*", "include_eds", "mask=a,,b.", "resource=static_clusters&mask=cluster.transport_socket.typed_config.common_tls_context"} {
		f.Add(s)
	}
	c := sample(f)
	f.Fuzz(func(t *testing.T, raw string) {
		v, err := url.ParseQuery(raw)
		if err != nil {
			return
		}
		q, err := ParseQuery(v)
		if err != nil {
			return
		}
		var out bytes.Buffer
		if err := Write(&out, c, q); err == nil && !json.Valid(out.Bytes()) {
			t.Fatalf("no JSON:\n%s", out.String())
		} else if err != nil && out.Len() > 0 {
			t.Fatal("an error after bytes")
		}
		if strings.Contains(out.String(), "PASSWORD") {
			t.Fatal("a password")
		}
	})
}

func BenchmarkWrite(b *testing.B) {
	c := sample(b)
	for range 2000 {
		c.Clusters.Dynamic = append(c.Clusters.Dynamic, c.Clusters.Dynamic[0])
	}
	for b.Loop() {
		if err := Write(io.Discard, c, Query{}); err != nil {
			b.Fatal(err)
		}
	}
}
