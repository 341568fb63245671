package source

import (
	"runtime"
	"strconv"
	"testing"

	"github.com/pillion-mesh/pillion/internal/proxy/config/source/sizes"
	"github.com/pillion-mesh/pillion/internal/proxy/config/xds"
	"github.com/pillion-mesh/pillion/internal/xdsclient"
)

// The mesh that proxy.md section 19 speaks of.
const (
	manyClusters = 2000
	hostsEach    = 10
)

func named(version string, all ...sizes.Named) []xdsclient.Resource {
	out := make([]xdsclient.Resource, len(all))
	for i, n := range all {
		out[i] = xdsclient.Resource{Name: n.Name, Version: version, Type: n.Body.GetTypeUrl(), Value: n.Body.GetValue()}
	}
	return out
}

func response(k kind, all []xdsclient.Resource) xdsclient.Response {
	return xdsclient.Response{Type: typeURLs[k], Version: "1", Resources: all}
}

// meshOf is a push of everything, by kind.
func meshOf(b testing.TB) [kinds][]xdsclient.Resource {
	b.Helper()
	var all [kinds][]xdsclient.Resource
	for i := range manyClusters {
		all[clusters] = append(all[clusters], named("1", sizes.Cluster(i))...)
		all[endpoints] = append(all[endpoints], named("1", sizes.Endpoints(i, hostsEach, 0))...)
	}
	all[listeners] = named("1", sizes.Listener("0.0.0.0_8080", "0.0.0.0", 8080, "8080"))
	all[routes] = named("1", sizes.Routes("8080", 0, manyClusters))
	secret, err := sizes.Secret("default")
	if err != nil {
		b.Fatal(err)
	}
	all[secrets] = named("1", secret)
	return all
}

func realSource(b testing.TB) (*Source, *origin) {
	b.Helper()
	s, err := New(Options{Bootstrap: &xds.BootstrapConfig{
		ADS: xds.ADSConfig{Target: "127.0.0.1:1", Delta: true}, CDS: &xds.ConfigSource{ADS: true}, LDS: &xds.ConfigSource{ADS: true},
	}})
	if err != nil {
		b.Fatal(err)
	}
	return s, s.origins[place{}]
}

func fill(b testing.TB, ads *origin, mesh *[kinds][]xdsclient.Resource) {
	b.Helper()
	for _, k := range []kind{clusters, endpoints, listeners, routes, secrets} {
		if err := ads.Apply(response(k, mesh[k])); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkApplyAll applies 2000 clusters, 20 000 endpoints and 2000 virtual hosts, and reports what they keep.
func BenchmarkApplyAll(b *testing.B) {
	var before, after runtime.MemStats
	for b.Loop() {
		b.StopTimer()
		mesh := meshOf(b)
		runtime.GC()
		runtime.ReadMemStats(&before)
		s, ads := realSource(b)
		b.StartTimer()
		fill(b, ads, &mesh)
		b.StopTimer()
		runtime.GC()
		runtime.ReadMemStats(&after)
		runtime.KeepAlive(mesh)
		if !s.Ready() {
			b.Fatal("not ready")
		}
		runtime.KeepAlive(s)
		b.StartTimer()
	}
	b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/(1<<20), "MiB-beside-raw")
	b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/manyClusters, "B/cluster+hosts+vhost")
}

// BenchmarkOneEndpoint changes the endpoints of one cluster among 2000.
func BenchmarkOneEndpoint(b *testing.B) {
	mesh := meshOf(b)
	s, ads := realSource(b)
	fill(b, ads, &mesh)
	if !s.Ready() {
		b.Fatal("not ready")
	}
	round := 0
	for b.Loop() {
		b.StopTimer()
		round++
		r := response(endpoints, named(strconv.Itoa(round), sizes.Endpoints(7, hostsEach, round)))
		b.StartTimer()
		if err := ads.Apply(r); err != nil {
			b.Fatal(err)
		}
	}
}
