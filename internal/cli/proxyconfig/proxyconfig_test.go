package proxyconfig

import (
	"bytes"
	"flag"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	adminv3 "github.com/envoyproxy/go-control-plane/envoy/admin/v3"
)

var update = flag.Bool("update", false, "write the golden files")

const bill = "bill-service.istio-demo.svc.cluster.local"

func dump(t testing.TB) *Dump {
	t.Helper()
	d, err := ParseDump(read(t, "dump.json"))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func clusters(t testing.TB) *adminv3.Clusters {
	t.Helper()
	c, err := ParseClusters(read(t, "clusters.json"))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func read(t testing.TB, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// What each subcommand prints, with the filters that the walk through a request uses.
func TestGolden(t *testing.T) {
	d, now := dump(t), time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC)
	for name, write := range map[string]func(w io.Writer) error{
		"clusters.txt":         func(w io.Writer) error { return d.WriteClusters(w, ClusterFilter{}, "table") },
		"clusters-fqdn.txt":    func(w io.Writer) error { return d.WriteClusters(w, ClusterFilter{FQDN: bill}, "table") },
		"clusters-subset.txt":  func(w io.Writer) error { return d.WriteClusters(w, ClusterFilter{Subset: "v2"}, "table") },
		"cluster-inbound.json": func(w io.Writer) error { return d.WriteClusters(w, ClusterFilter{FQDN: "inbound|80||"}, "json") },
		"clusters-outbound.txt": func(w io.Writer) error {
			return d.WriteClusters(w, ClusterFilter{Direction: "outbound", Port: 53}, "table")
		},
		"listeners.txt":       func(w io.Writer) error { return d.WriteListeners(w, ListenerFilter{}, false, "table") },
		"listeners-short.txt": func(w io.Writer) error { return d.WriteListeners(w, ListenerFilter{}, true, "table") },
		"listener-9999.json":  func(w io.Writer) error { return d.WriteListeners(w, ListenerFilter{Port: 9999}, false, "json") },
		"listener-9999.yaml":  func(w io.Writer) error { return d.WriteListeners(w, ListenerFilter{Port: 9999}, false, "yaml") },
		"listener-15006.json": func(w io.Writer) error { return d.WriteListeners(w, ListenerFilter{Port: 15006}, false, "json") },
		"listeners-http.txt":  func(w io.Writer) error { return d.WriteListeners(w, ListenerFilter{Type: "http"}, false, "table") },
		"routes.txt":          func(w io.Writer) error { return d.WriteRoutes(w, w, RouteFilter{Hosted: true}, "table") },
		"route-9999.txt":      func(w io.Writer) error { return d.WriteRoutes(w, w, RouteFilter{Name: "9999"}, "table") },
		"route-9999.json":     func(w io.Writer) error { return d.WriteRoutes(w, w, RouteFilter{Name: "9999"}, "json") },
		"route-inbound.json":  func(w io.Writer) error { return d.WriteRoutes(w, w, RouteFilter{Name: "inbound|80||"}, "json") },
		"endpoints.txt":       func(w io.Writer) error { return WriteEndpoints(w, clusters(t), EndpointFilter{}, "table") },
		"endpoints-v1.json": func(w io.Writer) error {
			return WriteEndpoints(w, clusters(t), EndpointFilter{Cluster: "outbound|9999|v1|" + bill, Status: "healthy"}, "json")
		},
		"eds.txt":             func(w io.Writer) error { return d.WriteEDS(w, EndpointFilter{}, "table") },
		"eds-draining.txt":    func(w io.Writer) error { return d.WriteEDS(w, EndpointFilter{Status: "draining"}, "table") },
		"secrets.txt":         func(w io.Writer) error { return d.WriteSecrets(w, now, "table") },
		"secrets-later.txt":   func(w io.Writer) error { return d.WriteSecrets(w, now.AddDate(200, 0, 0), "table") },
		"bootstrap-short.txt": func(w io.Writer) error { return d.WriteBootstrap(w, "short") },
		"bootstrap.json":      func(w io.Writer) error { return d.WriteBootstrap(w, "json") },
		"ecds.txt":            func(w io.Writer) error { return d.WriteECDS(w, "table") },
		"all.txt":             func(w io.Writer) error { return d.WriteAll(w, io.Discard, clusters(t), now, true) },
	} {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			if err := write(&out); err != nil {
				t.Fatal(err)
			}
			file := filepath.Join("testdata", name)
			if *update {
				if err := os.WriteFile(file, out.Bytes(), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if out.String() != string(want) {
				t.Errorf("%s differs from what is printed (go test -update writes it):\n%s", file, out.String())
			}
		})
	}
}

// Lines people grep for, as the walk through a request shows them.
func TestWalk(t *testing.T) {
	d := dump(t)
	for name, c := range map[string]struct {
		write func(w io.Writer) error
		want  []string
	}{
		"the route": {func(w io.Writer) error { return d.WriteRoutes(w, w, RouteFilter{Name: "9999"}, "table") },
			[]string{"NOTE: This output only contains routes loaded via RDS.", "NAME DOMAINS MATCH VIRTUAL SERVICE", "9999 bill-service /* vs-bill-service.istio-demo"}},
		"weights": {func(w io.Writer) error { return d.WriteRoutes(w, w, RouteFilter{Name: "9999"}, "json") },
			[]string{`"weightedClusters": {`, `"name": "outbound|9999|v1|` + bill + `",`, `"weight": 90`, `"weight": 10`}},
		"the metadata exchange, whose type isn't linked": {func(w io.Writer) error { return d.WriteListeners(w, ListenerFilter{Port: 15006}, false, "json") },
			[]string{`"destinationPort": 80,`, `"transportProtocol": "raw_buffer"`, `"@type": "type.googleapis.com/envoy.tcp.metadataexchange.config.MetadataExchange",`, `"protocol": "istio-peer-exchange"`}},
	} {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			if err := c.write(&out); err != nil {
				t.Fatal(err)
			}
			var lines []string
			for line := range strings.Lines(out.String()) {
				lines = append(lines, strings.Join(strings.Fields(line), " "))
			}
			for _, want := range c.want {
				if !strings.Contains("\n"+strings.Join(lines, "\n")+"\n", "\n"+want+"\n") {
					t.Errorf("no line %q in\n%s", want, out.String())
				}
			}
		})
	}
}

func TestDomains(t *testing.T) {
	for _, c := range []struct {
		domains []string
		want    string
	}{
		{nil, ""},
		{[]string{"*"}, "*"},
		{[]string{"a.b.c", "a.b", "a", "a:80", "10.0.0.1", "10.0.0.1:80"}, "a"},
		{[]string{"[fd00::1]", "[fd00::1]:80", "10.0.0.1:80"}, "10.0.0.1, [fd00::1]"},
		{[]string{"fd00::1"}, "fd00::1"},
		{[]string{"c.example", "a.example", "b.example", "*.d.example"}, "a.example, b.example + 2 more..."},
		{[]string{"ab", "a"}, "a, ab"},
	} {
		if got := domainsCell(c.domains); got != c.want {
			t.Errorf("%q: %q, want %q", c.domains, got, c.want)
		}
	}
}

func TestLevelQuery(t *testing.T) {
	for text, want := range map[string]string{
		"debug": "level=debug", "warn": "level=warning", "none": "level=off",
		"rbac:debug,http2:none": "paths=rbac%3Adebug%2Chttp2%3Aoff",
	} {
		if got, err := LevelQuery(text); got != want || err != nil {
			t.Errorf("%s: %q, %v; want %q", text, got, err, want)
		}
	}
	for _, text := range []string{"", "loud", "rbac:", ":debug", "rbac:debug,info", "debug,info"} {
		if got, err := LevelQuery(text); err == nil {
			t.Errorf("%q is taken as %q", text, got)
		}
	}
}

func TestShownAsMeant(t *testing.T) {
	var out bytes.Buffer
	text := `{"b":"<a&b>","a":[1,{"@type":"type.googleapis.com/udpa.type.v1.TypedStruct","typeUrl":"type.googleapis.com/of.Tomorrow","value":{"z":1,"a":null}}],"c":true}`
	if err := writeJSON(&out, []byte(text), "json"); err != nil {
		t.Fatal(err)
	}
	want := `{"b":"<a&b>","a":[1,{"@type":"type.googleapis.com/of.Tomorrow","z":1,"a":null}],"c":true}`
	if got := strings.Join(strings.Fields(out.String()), ""); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestBadDumps(t *testing.T) {
	for text, want := range map[string]string{
		"":               "reading the dump",
		"{}":             `no "configs" in it`,
		`{"configs":[]}`: `no "configs" in it`,
		`{"configs":[{"@type":"type.googleapis.com/envoy.admin.v3.ClustersConfigDump","dynamic_active_clusters":7}]}`: "configs[0]",
	} {
		if _, err := ParseDump([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
	d, err := ParseDump([]byte(`{"configs":[{"@type":"type.googleapis.com/envoy.admin.v3.OfTomorrow","x":1}]}`))
	if err != nil {
		t.Errorf("a section nobody knows: %v", err)
	}
	if err := d.WriteBootstrap(io.Discard, "json"); err == nil {
		t.Error("a bootstrap that isn't there is shown")
	}
	if err := d.WriteAll(io.Discard, io.Discard, nil, time.Time{}, false); err != nil {
		t.Errorf("empty tables: %v", err)
	}
}

// Whatever a file holds, it is shown or refused.
func FuzzDump(f *testing.F) {
	f.Add(read(f, "dump.json"))
	f.Add([]byte(`{"configs":[{"@type":"type.googleapis.com/envoy.admin.v3.ListenersConfigDump","dynamic_listeners":[{}]}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		d, err := ParseDump(data)
		if err != nil {
			return
		}
		_ = d.WriteAll(io.Discard, io.Discard, &adminv3.Clusters{}, time.Time{}, true)
		_ = d.WriteListeners(io.Discard, ListenerFilter{}, false, "json")
		_ = d.WriteEDS(io.Discard, EndpointFilter{}, "table")
	})
}
