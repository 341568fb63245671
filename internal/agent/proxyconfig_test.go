package agent

import (
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"
)

func filesOf(pairs ...string) fstest.MapFS {
	files := fstest.MapFS{}
	for i := 0; i < len(pairs); i += 2 {
		files[pairs[i]] = &fstest.MapFile{Data: []byte(pairs[i+1])}
	}
	return files
}

// TestProxyConfigs: of every setting that several places can say, the strongest that does counts.
func TestProxyConfigs(t *testing.T) {
	const mesh = "defaultConfig: {discovery_address: 'mesh:1', concurrency: 1, statusPort: 16001, terminationDrainDuration: 1s, proxyMetadata: {MINIMUM_DRAIN_DURATION: 1s}}"
	const variable = `PROXY_CONFIG={"discoveryAddress":"env:2","concurrency":2,"statusPort":16002,"terminationDrainDuration":"2s","proxyMetadata":{"MINIMUM_DRAIN_DURATION":"2s"}}`
	const annotation = `proxy.istio.io/config="discoveryAddress: own:3\nconcurrency: 3\nstatusPort: 16003\nterminationDrainDuration: 3s\nproxyMetadata: {MINIMUM_DRAIN_DURATION: 3s}\n"` + "\n"
	const annotations = `status.sidecar.istio.io/port="16004"` + "\n" + `sidecar.istio.io/discoveryAddress="own:4"` + "\n"
	type said struct {
		discovery   string
		concurrency int
		status      uint16
		most        time.Duration // -1: not said
		minimum     time.Duration
	}
	for _, c := range []struct {
		name      string
		args, env []string
		files     fstest.MapFS
		want      said
	}{
		{"nothing", nil, nil, nil, said{"", 0, 15020, -1, 5 * time.Second}},
		{"the limit", nil, []string{"ISTIO_CPU_LIMIT=8"}, nil, said{"", 8, 15020, -1, 5 * time.Second}},
		{"mesh", []string{"--discoveryAddress=flag:0"}, []string{"ISTIO_CPU_LIMIT=8"}, filesOf(meshConfigFile, mesh), said{"mesh:1", 1, 16001, time.Second, time.Second}},
		{"variable", nil, []string{variable}, filesOf(meshConfigFile, mesh), said{"env:2", 2, 16002, 2 * time.Second, 2 * time.Second}},
		{"annotation", nil, []string{variable}, filesOf(meshConfigFile, mesh, annotationsFile, annotation), said{"own:3", 3, 16003, 3 * time.Second, 3 * time.Second}},
		{"annotations of one setting", nil, []string{variable}, filesOf(annotationsFile, annotations+annotation), said{"own:4", 3, 16004, 3 * time.Second, 3 * time.Second}},
		{"environment", nil, []string{variable, "PILLION_STATUS_PORT=16005", "MINIMUM_DRAIN_DURATION=5s"}, filesOf(annotationsFile, annotations), said{"own:4", 2, 16005, 2 * time.Second, 5 * time.Second}},
		{"flags", []string{"--concurrency=6"}, []string{variable}, nil, said{"env:2", 6, 16002, 2 * time.Second, 2 * time.Second}},
		{"no concurrency is the limit", nil, []string{"ISTIO_CPU_LIMIT=8", `PROXY_CONFIG={"concurrency":0}`}, nil, said{"", 8, 15020, -1, 5 * time.Second}},
		{"status port off", nil, nil, filesOf(annotationsFile, `status.sidecar.istio.io/port="0"`), said{"", 0, 0, -1, 5 * time.Second}},
	} {
		s, ignored, err := Load(c.args, c.env, c.files)
		if err != nil || len(ignored) > 0 {
			t.Errorf("%s: ignored %q, %v", c.name, ignored, err)
			continue
		}
		got := said{s.DiscoveryAddress, s.Concurrency, s.StatusPort, -1, s.MinimumDrain}
		if s.MostDrain != nil {
			got.most = *s.MostDrain
		}
		if got != c.want {
			t.Errorf("%s: got %+v, want %+v", c.name, got, c.want)
		}
	}
}

// TestProxyConfigFaults: what is wrong in files and ProxyConfigs is told of and keeps nothing from starting.
func TestProxyConfigFaults(t *testing.T) {
	for _, c := range []struct{ variable, annotations, mesh, want string }{
		{"{", "", "", "PROXY_CONFIG: it is no mapping in YAML or JSON"},
		{"[1]", "", "", "PROXY_CONFIG: it is no mapping"},
		{strings.Repeat("a", maxProxyConfig+1), "", "", "PROXY_CONFIG: 131073 bytes are more than 131072"},
		{`{"concurency":2}`, "", "", `PROXY_CONFIG: field "concurency"`},
		{`{"concurrency":"many"}`, "", "", `PROXY_CONFIG: concurrency is "many", want a number of threads`},
		{`{"statusPort":99999}`, "", "", `PROXY_CONFIG: statusPort is "99999", want a port`},
		{`{"terminationDrainDuration":"soon"}`, "", "", `PROXY_CONFIG: terminationDrainDuration is "soon", want a duration`},
		{"", `proxy.istio.io/config="[}"`, "", "annotation proxy.istio.io/config: it is no mapping"},
		{"", "proxy.istio.io/config=unquoted", "", `/etc/istio/pod/annotations: the line of "proxy.istio.io/config" isn't key="value"`},
		{"", `status.sidecar.istio.io/port="x"`, "", `annotation status.sidecar.istio.io/port is "x", want a port`},
		{"", "", "defaultConfig: [", "/etc/istio/config/mesh: it is no mapping"},
		{"", "", strings.Repeat(" ", maxFile+1), "/etc/istio/config/mesh: 1048577 bytes are more than 1048576"},
	} {
		s, ignored, err := Load(nil, []string{"PROXY_CONFIG=" + c.variable}, filesOf(annotationsFile, c.annotations, meshConfigFile, c.mesh))
		if err != nil || !slices.ContainsFunc(ignored, func(note string) bool { return strings.HasPrefix(note, c.want) }) {
			t.Errorf("%.40q %q %.40q: ignored %q, %v; want %q", c.variable, c.annotations, c.mesh, ignored, err, c.want)
		}
		if s.StatusPort != 15020 || s.Concurrency != 0 || s.MostDrain != nil {
			t.Errorf("%.40q: a fault counts: %+v", c.variable, s)
		}
	}
}

// TestNode is who a pod says it is.
func TestNode(t *testing.T) {
	env := []string{"POD_NAME=pay-1", "POD_NAMESPACE=shop", "INSTANCE_IP=10.0.0.7", "SERVICE_ACCOUNT=till", "CANONICAL_SERVICE=pay", "CANONICAL_REVISION=v2",
		"ISTIO_META_WORKLOAD_NAME=pay", "ISTIO_META_CLUSTER_ID=east", "ISTIO_META_=nothing", `ISTIO_METAJSON_MORE={"NETWORK":"n1","DEPTH":{"a":1}}`, "ISTIO_METAJSON_BAD=[]"}
	s, ignored, err := Load([]string{"sidecar", "--domain=shop.svc.example.org"}, env, filesOf(labelsFile, "app=\"pay\"\nversion=\"v3\"\nquote=\"a\\\"b\"\n"))
	if err != nil || len(ignored) != 1 || !strings.HasPrefix(ignored[0], "ISTIO_METAJSON_BAD: it is no JSON object") {
		t.Fatalf("ignored %q, %v", ignored, err)
	}
	want := Node{ID: "sidecar~10.0.0.7~pay-1.shop~shop.svc.example.org", Cluster: "pay.shop", Metadata: map[string]any{
		"NAME": "pay-1", "NAMESPACE": "shop", "SERVICE_ACCOUNT": "till", "WORKLOAD_NAME": "pay", "INSTANCE_IPS": "10.0.0.7", "CLUSTER_ID": "east",
		"NETWORK": "n1", "DEPTH": map[string]any{"a": 1.0},
		"LABELS": map[string]any{"app": "pay", "version": "v3", "quote": `a"b`, canonicalName: "pay", canonicalRevision: "v2"},
	}}
	if got := s.Node(); !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	if s.App != "pay" || s.Version != "v3" {
		t.Errorf("metrics are told by app %q, version %q", s.App, s.Version)
	}
	router, _, err := Load([]string{"router"}, []string{"POD_NAME=gw", "POD_NAMESPACE=edge"}, nil)
	if err != nil || router.Node().ID != "router~~gw.edge~edge.svc.cluster.local" || router.Node().Cluster != "istio-proxy.edge" {
		t.Errorf("router: %+v, %v", router.Node(), err)
	}
	if unknown, _, _ := Load(nil, []string{"POD_NAMESPACE=shop"}, nil); unknown.Node().ID != "" {
		t.Errorf("a pod without a name is %+v", unknown.Node())
	}
}
