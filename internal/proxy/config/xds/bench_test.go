package xds

import (
	"bytes"
	"fmt"
	"runtime"
	"testing"
)

func BenchmarkCluster(b *testing.B) {
	raw := clusterYAML(b, istiod(b, "cluster_outbound"))
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := Cluster(raw, nil); err != nil {
			b.Fatal(err)
		}
	}
	retained(b, func(i int) any {
		// A name of its own, as a real cluster has: nothing is shared but by the decoder's doing.
		v, _, _ := Cluster(bytes.ReplaceAll(raw, []byte("bill-service"), fmt.Appendf(nil, "bill-%07d", i)), nil)
		return v
	})
}

// BenchmarkVirtualHost decodes a table of 100 virtual hosts; figures are of one.
func BenchmarkVirtualHost(b *testing.B) {
	const hosts = 100
	raw := routesYAML(b, tableOf(hosts))
	for b.Loop() {
		if _, _, err := Routes(raw); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/hosts, "ns/host")
	retained(b, func(int) any { v, _, _ := Routes(raw); return v }, hosts)
}

// BenchmarkEndpoint decodes an assignment of 10 endpoints, as istiod's are; figures are of one.
func BenchmarkEndpoint(b *testing.B) {
	const hosts = 10
	raw := endpointsYAML(b, assignmentOf(hosts))
	for b.Loop() {
		if _, _, err := Endpoints(raw); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/hosts, "ns/endpoint")
	retained(b, func(int) any { v, _, _ := Endpoints(raw); return v }, hosts)
}

// retained reports the bytes of heap an object keeps, with parts objects in what make returns.
func retained(b *testing.B, object func(int) any, parts ...int) {
	b.Helper()
	const n = 500
	kept := make([]any, n)
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	for i := range kept {
		kept[i] = object(i)
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	size := float64(after.HeapAlloc-before.HeapAlloc) / n
	for _, p := range parts {
		size /= float64(p)
	}
	runtime.KeepAlive(kept)
	b.ReportMetric(size, "retained-B")
}

func tableOf(hosts int) string {
	var out bytes.Buffer
	out.WriteString("name: '9999'\nvirtual_hosts:\n")
	for i := range hosts {
		fmt.Fprintf(&out, `- name: bill-%03d.istio-demo.svc.cluster.local:9999
  domains: [bill-%03d.istio-demo.svc.cluster.local, bill-%03d, bill-%03d.istio-demo.svc, bill-%03d.istio-demo, 10.96.0.%d]
  include_request_attempt_count: true
  routes:
  - name: default
    match: {prefix: /}
    route:
      cluster: outbound|9999||bill-%03d.istio-demo.svc.cluster.local
      timeout: 0s
      retry_policy: {retry_on: "connect-failure,refused-stream,unavailable,cancelled,retriable-status-codes", num_retries: 2, retriable_status_codes: [503], host_selection_retry_max_attempts: 5, retry_host_predicate: [{name: envoy.retry_host_predicates.previous_hosts, typed_config: {"@type": type.googleapis.com/envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate}}]}
      max_grpc_timeout: 0s
    decorator: {operation: "bill-%03d.istio-demo.svc.cluster.local:9999/*"}
`, i, i, i, i, i, i, i, i)
	}
	return out.String()
}

func assignmentOf(hosts int) string {
	var out bytes.Buffer
	out.WriteString("cluster_name: outbound|9999||bill.istio-demo.svc.cluster.local\nendpoints:\n- locality: {region: r1, zone: z1}\n  lb_endpoints:\n")
	for i := range hosts {
		fmt.Fprintf(&out, `  - endpoint: {address: {socket_address: {address: 10.244.0.%d, port_value: 80}}, health_check_config: {}}
    load_balancing_weight: 1
    metadata: {filter_metadata: {istio: {workload: "bill-v1;istio-demo;bill-service;v1;Kubernetes"}, envoy.transport_socket_match: {tlsMode: istio}}}
`, i)
	}
	return out.String()
}

// TestEndpointsShareMetadata: hosts of the same workload have the same maps, not equal ones.
func TestEndpointsShareMetadata(t *testing.T) {
	v, _, err := Endpoints(endpointsYAML(t, assignmentOf(3)))
	if err != nil {
		t.Fatal(err)
	}
	hosts := v.Localities[0].Hosts
	hosts[0].Metadata["x"] = nil // nobody else may do this
	if _, there := hosts[2].Metadata["x"]; !there || hosts[0].Workload != hosts[2].Workload || hosts[1].TLSMatch["tlsMode"] != "istio" {
		t.Errorf("got %+v and %+v", hosts[0], hosts[2])
	}
}
