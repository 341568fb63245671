package inject_test

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/pillion-mesh/pillion/internal/inject"
)

// injectAnnotated injects a small pod with these annotations.
func injectAnnotated(set *inject.Set, annotations map[string]string) inject.Result {
	pod := mustJSON(map[string]any{
		"metadata": map[string]any{"name": "p", "annotations": annotations},
		"spec": map[string]any{
			"containers": []any{map[string]any{"name": "app", "image": "a"}},
			"volumes":    []any{map[string]any{"name": "data", "emptyDir": map[string]any{}}},
		},
	})
	return set.Inject(context.Background(), inject.Request{
		Entry: inject.EntryNamespace, Namespace: inject.Namespace{Name: "shop"}, Pod: []byte(pod),
	})
}

func podOf(t testing.TB, result *inject.Result) *corev1.Pod {
	t.Helper()
	var pod corev1.Pod
	if err := json.Unmarshal(result.Pod(), &pod); err != nil {
		t.Fatalf("%s %s: %v", result.Outcome, result.Message(), err)
	}
	return &pod
}

// values are good and bad ones of each key; a bad one's message says what is wrong and what is wanted.
var values = []struct{ key, value, wrong string }{
	{"proxy.istio.io/config", "", ""},
	{"proxy.istio.io/config", "holdApplicationUntilProxyStarts: true\nconcurrency: 0\nstatusPort: 15099\nproxyMetadata: {A: '1'}\n", ""},
	{"proxy.istio.io/config", "drainDuration: 45s\nparent_shutdown_duration: 1m\ndiscoveryAddress: 'istiod:15012'\nimage: {imageType: debug}", ""},
	{"proxy.istio.io/config", "[1]", "it is no mapping; want a ProxyConfig, such as {concurrency: 2}"},
	{"proxy.istio.io/config", "a: b: c", "it is no YAML: "},
	{"proxy.istio.io/config", "a: 1\na: 2", "already set in map"},
	{"proxy.istio.io/config", "concurrency: -1", `concurrency: "-1" is not a number from 0 to 65536`},
	{"proxy.istio.io/config", "statusPort: 15001", `statusPort: port 15001 is another of the sidecar's; want one it doesn't use, such as 15020, or 0 for none`},
	{"proxy.istio.io/config", "holdApplicationUntilProxyStarts: 'yes'", "holdApplicationUntilProxyStarts: want true or false"},
	{"proxy.istio.io/config", "image: debug", "image: want {imageType: default} or {imageType: debug}"},
	{"proxy.istio.io/config", "image: {imageType: distroless}", `image: "distroless" is no image type; want default or debug`},
	{"proxy.istio.io/config", "proxyMetadata: {A: 1}", "proxyMetadata: A: want a string; put it in quotes"},
	{"proxy.istio.io/config", "proxyMetadata: {'A=B': c}", `proxyMetadata: "A=B" is no name of an environment variable`},
	{"proxy.istio.io/config", "interceptionMode: TPROXY", "interceptionMode: TPROXY is not supported yet; want REDIRECT or NONE"},
	{"proxy.istio.io/config", "drainDuration: 45", `drainDuration: "45" is no duration; want one such as 45s`},
	{"proxy.istio.io/config", "discoveryAddress: 1", "discoveryAddress: want a string; put it in quotes"},
	{"proxy.istio.io/config", "tracing: " + strings.Repeat("x", 33<<10), "it has 33801 bytes; want at most 32768"},
	{"inject.istio.io/templates", "sidecar", ""},
	{"inject.istio.io/templates", " , ", "want 1 to 8 template names, separated by commas"},
	{"sidecar.istio.io/proxyImage", "registry.example:5000/a/b:1.2@sha256:" + strings.Repeat("ab", 32), ""},
	{"sidecar.istio.io/proxyImage", "my-proxy", ""},
	{"sidecar.istio.io/proxyImage", "a b", `"a b" is not an image reference; want an image reference, such as registry.example/pillion-sidecar:1.2`},
	{"sidecar.istio.io/proxyImage", "", "is not an image reference"},
	{"sidecar.istio.io/proxyImage", "x\"}],\"y\":\"", "is not an image reference"},
	{"sidecar.istio.io/proxyImageType", "debug", ""},
	{"sidecar.istio.io/proxyImageType", "default", ""},
	{"sidecar.istio.io/proxyImageType", "distroless", `"distroless" is no image type; want default or debug`},
	{"sidecar.istio.io/nativeSidecar", "true", ""},
	{"sidecar.istio.io/nativeSidecar", "maybe", `"maybe" is not a boolean; want true or false`},
	{"sidecar.istio.io/logLevel", "trace", ""},
	{"sidecar.istio.io/logLevel", "warn", `"warn" is not a log level; want one of trace, debug, info, warning, error, critical, off`},
	{"sidecar.istio.io/logLevel", "", `"" is not a log level`},
	{"sidecar.istio.io/componentLogLevel", " http:debug , tcp:info", ""},
	{"sidecar.istio.io/componentLogLevel", "", ""},
	{"sidecar.istio.io/componentLogLevel", "debug", `"debug" is not a level of a scope; want scope:level, such as http:debug`},
	{"sidecar.istio.io/componentLogLevel", "http:loud", `"loud" is not a log level`},
	{"sidecar.istio.io/agentLogLevel", "debug", ""},
	{"sidecar.istio.io/agentLogLevel", "default:warn,xds:none", ""},
	{"sidecar.istio.io/agentLogLevel", " ", "it is empty; want a level, such as debug, or scope:level"},
	{"sidecar.istio.io/agentLogLevel", "default:loud", `"loud" is not a log level`},
	{"sidecar.istio.io/agentLogLevel", "--evil:debug", `"--evil:debug" is not a level of a scope`},
	{"sidecar.istio.io/capNetBindService", "true", ""},
	{"sidecar.istio.io/capNetBindService", "2", `"2" is not a boolean; want true or false`},
	{"sidecar.istio.io/userVolume", "", "it is no JSON: "},
	{"sidecar.istio.io/userVolume", `[{"name":"a","emptyDir":{"sizeLimit":"1Gi"}},{"name":"b","configMap":{"name":"x","defaultMode":420}}]`, ""},
	{"sidecar.istio.io/userVolume", `{"a":{"hostPath":{"path":"/x"}}}`, ""},
	{"sidecar.istio.io/userVolume", `"x"`, `it is neither a list nor a map; want JSON, such as {"name": {…}}`},
	{"sidecar.istio.io/userVolume", `[1]`, "[0] is no object"},
	{"sidecar.istio.io/userVolume", `{"a":1}`, `"a" is no object`},
	{"sidecar.istio.io/userVolume", `{"a":{"name":"b"}}`, `"a" has another name inside; remove that`},
	{"sidecar.istio.io/userVolume", `[{"emptyDir":{}}]`, `[0]: name is ""; want a DNS label, such as certs`},
	{"sidecar.istio.io/userVolume", `{"a":{"emptydir":{}}}`, "[0].emptydir: unknown field; did you mean emptyDir?"},
	{"sidecar.istio.io/userVolume", `{"a":{"emptyDir":{"medium":1}}}`, "[0].emptyDir.medium wants string, this is 1"},
	{"sidecar.istio.io/userVolume", `{"a":{"emptyDir":[]}}`, "[0].emptyDir wants mapping, this is []"},
	{"sidecar.istio.io/userVolume", `{"a":{"configMap":{"defaultMode":4294967296}}}`, "[0].configMap.defaultMode wants integer"},
	{"sidecar.istio.io/userVolume", `{"a":{"emptyDir":{"sizeLimit":"1E-10000000"}}}`, "[0].emptyDir.sizeLimit wants quantity"},
	{"sidecar.istio.io/userVolume", `{"istio-token":{"emptyDir":{}}}`, `volume "istio-token" is the sidecar's own; choose another name`},
	{"sidecar.istio.io/userVolume", `[{"name":"a"},{"name":"a"}]`, `volume "a" is there twice; choose another name for one`},
	{"sidecar.istio.io/userVolume", `{"data":{"emptyDir":{}}}`, `the pod has a volume "data"; choose another name, or only mount it`},
	{"sidecar.istio.io/userVolume", `[` + strings.Repeat(`{"name":"a"},`, 64) + `{"name":"a"}]`, "there are 65; want at most 64"},
	{"sidecar.istio.io/userVolume", `[` + strings.Repeat(`[],`, 60000) + `[]]`, "more values than there may be in one document"},
	{"sidecar.istio.io/userVolumeMount", `{"data":{"mountPath":"/etc/data","readOnly":true}}`, ""},
	{"sidecar.istio.io/userVolumeMount", `[{"name":"data","mountPath":"/a"},{"name":"data","mountPath":"/b","subPath":"b"}]`, ""},
	{"sidecar.istio.io/userVolumeMount", `{"data":{}}`, `mount of "data": mountPath is ""; want an absolute path without colons`},
	{"sidecar.istio.io/userVolumeMount", `{"data":{"mountPath":"/a:b"}}`, `want an absolute path without colons`},
	{"sidecar.istio.io/userVolumeMount", `{"data":{"mountPath":"/etc/istio/pod/"}}`, `mount of "data": /etc/istio/pod is the sidecar's own; choose another mountPath`},
	{"sidecar.istio.io/userVolumeMount", `[{"name":"data","mountPath":"/a"},{"name":"data","mountPath":"/a/"}]`, `mount of "data": /a is there twice; choose another mountPath`},
	{"sidecar.istio.io/userVolumeMount", `{"nope":{"mountPath":"/a"}}`, `there is no volume "nope"; add it to the pod or to sidecar.istio.io/userVolume`},
	{"sidecar.istio.io/userVolumeMount", `{"data":{"mountPath":"/a","readonly":true}}`, "[0].readonly: unknown field; did you mean readOnly?"},
	{"pillion.dev/allow-proxy-uid", "1", ""},
	{"pillion.dev/allow-proxy-uid", "", "is not a boolean"},

	{"sidecar.istio.io/proxyCPU", "100m", ""},
	{"sidecar.istio.io/proxyCPU", "-1", `"-1" is not a quantity of 0 or more; want one such as 100m or 128Mi`},
	{"sidecar.istio.io/proxyCPU", "1E-10000000", `"1E-10000000" is not a quantity of 0 or more`},
	{"sidecar.istio.io/proxyCPU", "9223372036854775807Ei", "is not a quantity"},
	{"sidecar.istio.io/proxyMemory", "128Mi", ""},
	{"sidecar.istio.io/proxyMemory", "1e6", ""},
	{"sidecar.istio.io/proxyMemory", "1Zi", "is not a quantity"},
	{"sidecar.istio.io/proxyCPULimit", "0", ""},
	{"sidecar.istio.io/proxyCPULimit", "1 core", "is not a quantity"},
	{"sidecar.istio.io/proxyMemoryLimit", "1Gi", ""},
	{"sidecar.istio.io/proxyMemoryLimit", "", "is not a quantity"},
	{"sidecar.istio.io/proxyMemoryLimit", "32Mi", "is below the request 64Mi; raise it, or lower sidecar.istio.io/proxyMemory"},
	{"pillion.dev/pod-resources", "Pad", ""},
	{"pillion.dev/pod-resources", "Share", ""},
	{"pillion.dev/pod-resources", "pad", `"pad" is no way to fit into the pod's resources; want Pad or Share`},

	{"sidecar.istio.io/interceptionMode", "REDIRECT", ""},
	{"sidecar.istio.io/interceptionMode", "NONE", ""},
	{"sidecar.istio.io/interceptionMode", "TPROXY", "TPROXY is not supported yet; want REDIRECT or NONE"},
	{"sidecar.istio.io/interceptionMode", "redirect", `"redirect" is not an interception mode; want REDIRECT or NONE`},
	{"traffic.sidecar.istio.io/includeOutboundIPRanges", "*", ""},
	{"traffic.sidecar.istio.io/includeOutboundIPRanges", " 10.0.0.0/8 , fd00::1", ""},
	{"traffic.sidecar.istio.io/includeOutboundIPRanges", "*,10.0.0.0/8", `"*" is not a CIDR or an address; want "*", or CIDRs or addresses, such as 10.0.0.0/8,fd00::/8`},
	{"traffic.sidecar.istio.io/excludeOutboundIPRanges", "", ""},
	{"traffic.sidecar.istio.io/excludeOutboundIPRanges", "10.0.0.0/33", `"10.0.0.0/33" is not a CIDR`},
	{"traffic.sidecar.istio.io/excludeOutboundIPRanges", "*", `"*" is not a CIDR or an address; want CIDRs or addresses`},
	{"traffic.sidecar.istio.io/includeInboundPorts", "*", ""},
	{"traffic.sidecar.istio.io/includeInboundPorts", "", ""},
	{"traffic.sidecar.istio.io/includeInboundPorts", "http", `"http" is not a port; want "*", or ports or ranges, such as 80,8000-8010`},
	{"traffic.sidecar.istio.io/excludeInboundPorts", "22, 8000-8010", ""},
	{"traffic.sidecar.istio.io/excludeInboundPorts", "0", `"0" is not a port`},
	{"traffic.sidecar.istio.io/excludeInboundPorts", "65536", `"65536" is not a port`},
	{"traffic.sidecar.istio.io/excludeInboundPorts", "+80", `"+80" is not a port`},
	{"traffic.sidecar.istio.io/excludeInboundPorts", "90-80", `range "90-80" ends before it starts`},
	{"traffic.sidecar.istio.io/includeOutboundPorts", "3306", ""},
	{"traffic.sidecar.istio.io/includeOutboundPorts", "80,x", `"x" is not a port`},
	{"traffic.sidecar.istio.io/includeOutboundPorts", strings.Repeat("1,", 100<<10), "the list has more than 4096 items; use ranges"},
	{"traffic.sidecar.istio.io/excludeOutboundPorts", "25,1024-2048", ""},
	{"traffic.sidecar.istio.io/excludeOutboundPorts", "80\n- --evil", `is not a port`},
	{"traffic.sidecar.istio.io/excludeInterfaces", "net1, eth0.100", ""},
	{"traffic.sidecar.istio.io/excludeInterfaces", "abcdefghijklmnop", `"abcdefghijklmnop" is not an interface; want names of interfaces of at most 15 bytes, such as net1,net2`},
	{"traffic.sidecar.istio.io/kubevirtInterfaces", "", ""},
	{"traffic.sidecar.istio.io/kubevirtInterfaces", "k6t-net0", "capture of virtual machines' interfaces isn't built yet; remove this annotation"},
	{"istio.io/reroute-virtual-interfaces", "", ""},
	{"istio.io/reroute-virtual-interfaces", "k6t-net0", "capture of virtual machines' interfaces isn't built yet; remove this annotation"},
	{"pillion.dev/exclude-outbound-uids", "0, 1000-1999", ""},
	{"pillion.dev/exclude-outbound-uids", "root", `"root" is not a user id; want user ids or ranges, such as 0,1000-1999`},
	{"pillion.dev/exclude-inbound-ip-ranges", "10.0.0.5", ""},
	{"pillion.dev/exclude-inbound-ip-ranges", "x", `"x" is not a CIDR or an address`},
	{"pillion.dev/capture-dns", "Off", ""},
	{"pillion.dev/capture-dns", "All", "capture of DNS isn't built yet; remove this annotation, or write Off"},
	{"pillion.dev/capture-dns", "on", `"on" is no way to capture DNS; want Off`},
	{"pillion.dev/capture-backend", "Auto", ""},
	{"pillion.dev/capture-backend", "Iptables", "the iptables backend isn't built yet; remove this annotation, or write Nftables"},
	{"pillion.dev/capture-backend", "nft", `"nft" is no backend; want Auto or Nftables`},
	{"pillion.dev/capture-ip-families", "Dual", ""},
	{"pillion.dev/capture-ip-families", "ipv4", `"ipv4" are no address families; want Auto, IPv4, IPv6 or Dual`},
	{"pillion.dev/dns-forward", "corp.example=10.0.0.53, lab.example.=[fd00::53]:5353,x=fd00::1", ""},
	{"pillion.dev/dns-forward", "corp.example=dns", `"corp.example=dns" is no zone and server; want zone=address, such as corp.example=10.0.0.53`},
	{"pillion.dev/dns-forward", "=10.0.0.53", `"=10.0.0.53" is no zone and server`},

	{"status.sidecar.istio.io/port", "0", ""},
	{"status.sidecar.istio.io/port", "65535", ""},
	{"status.sidecar.istio.io/port", "65536", `"65536" is not a port; want one, such as 15020, or 0 for none`},
	{"status.sidecar.istio.io/port", "", `"" is not a port`},
	{"status.sidecar.istio.io/port", "15090", "port 15090 is another of the sidecar's; want one it doesn't use, such as 15020, or 0 for none"},
	{"readiness.status.sidecar.istio.io/initialDelaySeconds", "0", ""},
	{"readiness.status.sidecar.istio.io/initialDelaySeconds", "-1", `"-1" is not a number from 0 to 2147483647`},
	{"readiness.status.sidecar.istio.io/periodSeconds", "1", ""},
	{"readiness.status.sidecar.istio.io/periodSeconds", "0", `"0" is not a number from 1 to 2147483647`},
	{"readiness.status.sidecar.istio.io/failureThreshold", "2147483647", ""},
	{"readiness.status.sidecar.istio.io/failureThreshold", "2147483648", `"2147483648" is not a number from 1 to 2147483647`},
	{"sidecar.istio.io/rewriteAppHTTPProbers", "false", ""},
	{"sidecar.istio.io/rewriteAppHTTPProbers", "no", `"no" is not a boolean; want true or false`},
	{"prometheus.istio.io/merge-metrics", "false", ""},
	{"prometheus.istio.io/merge-metrics", "", `"" is not a boolean; want true or false`},
	{"prometheus.istio.io/scrape-targets", "8080, 9000:/m?a=b,9001:metrics", ""},
	{"prometheus.istio.io/scrape-targets", "http:/metrics", `"http:/metrics" is no target; want port or port:path, such as 8080:/metrics`},
	{"prometheus.istio.io/scrape-targets", "80:/%zz", `"/%zz" is no path of a URL; want port:path, such as 8080:/metrics`},
	{"prometheus.istio.io/scrape-targets", "15020", "port 15020 is the sidecar's own, whose metrics are there anyway; want ports of the application"},
	{"prometheus.istio.io/scrape-targets", strings.Repeat("80,", 17), "these are more than 16 targets"},
	{"prometheus.istio.io/secure-port", "15091", ""},
	{"prometheus.istio.io/secure-port", "0", `"0" is not a port; want one, such as 15091`},
	{"prometheus.istio.io/secure-port", "15006", "port 15006 is another of the sidecar's; want one it doesn't use, such as 15091"},
	{"prometheus.istio.io/secure-port", "15020", "this is the status port; want another"},
	{"pillion.dev/evict", "false", ""},
	{"pillion.dev/evict", "never", `"never" is not a boolean; want true or false`},
}

// hostile are values that would change a pod if they were pasted into it.
var hostile = []string{"\";\n- evil: x", "${pod.name}", "\u0000", "{{ .Evil }}", "$(POD_NAME)", "\u2028", strings.Repeat("9", 200<<10)}

// TestHostileValues: whatever they are put into, they're refused, or taken as the text they are.
func TestHostileValues(t *testing.T) {
	set := setOf(t, injector("default", "default"))
	plain := injectAnnotated(set, nil)
	for _, a := range inject.Annotations() {
		for _, value := range hostile {
			if a.Label || a.Group == inject.GroupWritten {
				continue
			}
			result := injectAnnotated(set, map[string]string{a.Key: value})
			switch result.Outcome {
			case inject.OutcomeInject:
				sameStructure(t, a.Key, value, podOf(t, &result), podOf(t, &plain))
			case inject.OutcomeDeny:
				if len(result.Message()) > 1200 {
					t.Errorf("%s: the message has %d bytes", a.Key, len(result.Message()))
				}
			default:
				t.Errorf("%s = %.40q: %s: %s", a.Key, value, result.Outcome, result.Message())
			}
		}
	}
}

// TestNoUTF8: such a pod would come out changed where it is saved and read again.
func TestNoUTF8(t *testing.T) {
	result := setOf(t, injector("default", "default")).Inject(t.Context(), inject.Request{
		Entry: inject.EntryNamespace, Namespace: inject.Namespace{Name: "shop"},
		Pod: []byte("{\"metadata\":{\"annotations\":{\"sidecar.istio.io/logLevel\":\"\xff\"}},\"spec\":{\"containers\":[{\"name\":\"app\"}]}}"),
	})
	if result.Outcome != inject.OutcomeError || result.Message() != "reading the pod: the pod's text is no UTF-8" {
		t.Errorf("%s: %s", result.Outcome, result.Message())
	}
}

func TestAnnotationValues(t *testing.T) {
	set := setOf(t, injector("default", "default"))
	for _, row := range values {
		result := injectAnnotated(set, map[string]string{row.key: row.value})
		if row.wrong == "" {
			if result.Outcome != inject.OutcomeInject {
				t.Errorf("%s = %q: %s: %s", row.key, row.value, result.Outcome, result.Message())
			}
			continue
		}
		start := "annotation \"" + row.key + "\" = "
		if result.Outcome != inject.OutcomeDeny || !strings.HasPrefix(result.Message(), start) || !strings.Contains(result.Message(), row.wrong) {
			t.Errorf("%s = %q: %s: %s\nwant a denial with %s", row.key, row.value, result.Outcome, result.Message(), row.wrong)
		}
	}
}

// TestEveryAnnotationIsTested: every key users write has a good and a bad value above, but Multus', which is any.
func TestEveryAnnotationIsTested(t *testing.T) {
	for _, a := range inject.Annotations() {
		good, bad := 0, 0
		for _, row := range values {
			if row.key == a.Key && row.wrong == "" {
				good++
			} else if row.key == a.Key {
				bad++
			}
		}
		if !a.Label && a.Group != inject.GroupWritten && a.Group != inject.GroupNoEffect && a.Key != "sidecar.istio.io/inject" && a.Key != "k8s.v1.cni.cncf.io/networks" && (good == 0 || bad == 0) {
			t.Errorf("annotation %s has %d good and %d bad values in the test", a.Key, good, bad)
		}
		if a.Group != inject.GroupNoEffect && (a.Type == "" || a.Doc == "") {
			t.Errorf("annotation %s has no documentation", a.Key)
		}
	}
}

func TestAllFaultsAtOnce(t *testing.T) {
	result := injectAnnotated(setOf(t, injector("default", "default")), map[string]string{
		"traffic.sidecar.istio.io/excludeOutboundPorts": "x", "sidecar.istio.io/proxyCPU": "y", "proxy.istio.io/overrides": "[",
	})
	if len(result.Faults) != 3 {
		t.Errorf("%d faults, want 3: %s", len(result.Faults), result.Message())
	}
}

func TestEachResourceReplacesOnlyItsOwn(t *testing.T) {
	set := setOf(t, injector("default", "default"))
	for _, row := range []struct {
		annotations map[string]string
		want        string // requests cpu memory, limits cpu memory
		warns       string
	}{
		{nil, "50m 64Mi 2 512Mi", ""},
		{map[string]string{"sidecar.istio.io/proxyCPU": "100m"}, "100m 64Mi 2 512Mi", ""},
		{map[string]string{"sidecar.istio.io/proxyMemory": "96Mi"}, "50m 96Mi 2 512Mi", ""},
		{map[string]string{"sidecar.istio.io/proxyCPULimit": "0.5"}, "50m 64Mi 500m 512Mi", ""},
		{map[string]string{"sidecar.istio.io/proxyMemoryLimit": "0"}, "50m 64Mi 2 0", ""},
		{map[string]string{"sidecar.istio.io/proxyMemory": "1Gi"}, "50m 1Gi 2 1Gi", "above the limit 512Mi"},
		{map[string]string{"sidecar.istio.io/proxyMemory": "1Gi", "sidecar.istio.io/proxyMemoryLimit": "2Gi"}, "50m 1Gi 2 2Gi", ""},
	} {
		result := injectAnnotated(set, row.annotations)
		pod := podOf(t, &result)
		r := pod.Spec.Containers[1].Resources
		got := r.Requests.Cpu().String() + " " + r.Requests.Memory().String() + " " + r.Limits.Cpu().String() + " " + r.Limits.Memory().String()
		warnings := strings.Join(result.Warnings, "; ")
		if got != row.want || !strings.Contains(warnings, row.warns) || row.warns == "" && warnings != "" {
			t.Errorf("%v: %s, warnings %q; want %s", row.annotations, got, warnings, row.want)
		}
	}
	result := injectAnnotated(set, map[string]string{"sidecar.istio.io/proxyMemory": "1Gi", "sidecar.istio.io/proxyMemoryLimit": "512Mi"})
	if result.Outcome != inject.OutcomeDeny {
		t.Errorf("a request above the pod's own limit: %s", result.Outcome)
	}
}

func TestUnknownKeysWarn(t *testing.T) {
	result := injectAnnotated(setOf(t, injector("default", "default")), map[string]string{
		"sidecar.istio.io/proxyCpu": "1", "traffic.sidecar.istio.io/whatever": "1", "example.com/proxyCPU": "1",
	})
	got := strings.Join(result.Warnings, "\n")
	if len(result.Warnings) != 2 || !strings.Contains(got, `did you mean "sidecar.istio.io/proxyCPU"?`) || !strings.Contains(got, `"traffic.sidecar.istio.io/whatever" is unknown`) {
		t.Errorf("warnings:\n%s", got)
	}
}

// FuzzAnnotations: no value of any annotation changes the structure of an injected pod: the same containers, with as
// many arguments and variables as without it, or a denial.
func FuzzAnnotations(f *testing.F) {
	for _, row := range values {
		f.Add(row.key, row.value)
	}
	f.Add("traffic.sidecar.istio.io/excludeInboundPorts", `22","--evil`)
	f.Add("sidecar.istio.io/proxyImage", "${mesh.id}")
	set := setOf(f, injector("default", "default"))
	plain := injectAnnotated(set, nil)
	f.Add("sidecar.istio.io/userVolume", `{"a":{"emptyDir":{}}}`)
	f.Fuzz(func(t *testing.T, key, value string) {
		annotations := map[string]string{key: value}
		if key == "" { // all at once
			for _, a := range inject.Annotations() {
				if !a.Label && a.Group != inject.GroupWritten {
					annotations[a.Key] = value
				}
			}
		}
		result := injectAnnotated(set, annotations)
		if result.Outcome != inject.OutcomeInject {
			if result.Pod() != nil || result.Patch != nil {
				t.Fatal("a patch without an injection")
			}
			return
		}
		sameStructure(t, key, value, podOf(t, &result), podOf(t, &plain))
	})
}

// sameStructure: but for what an annotation is there to add, a pod is built as without it.
func sameStructure(t *testing.T, key, value string, pod, want *corev1.Pod) {
	t.Helper()
	adds := func(keys ...string) bool { return key == "" || slices.Contains(keys, key) }
	for _, list := range [][2][]corev1.Container{{pod.Spec.Containers, want.Spec.Containers}, {pod.Spec.InitContainers, want.Spec.InitContainers}} {
		for _, c := range list[0] {
			for _, w := range list[1] {
				if c.Name != w.Name {
					continue
				}
				if !sameFlags(c.Args, w.Args) || !adds("proxy.istio.io/config", "status.sidecar.istio.io/port", "prometheus.istio.io/scrape-targets", "prometheus.istio.io/secure-port") && len(c.Env) != len(w.Env) {
					t.Fatalf("%q = %q changes container %s: %v %v", key, value, c.Name, c.Args, c.Env)
				}
				if len(c.VolumeMounts) != len(w.VolumeMounts) && !adds("sidecar.istio.io/userVolumeMount") {
					t.Fatalf("%q = %q changes the mounts of %s: %v", key, value, c.Name, c.VolumeMounts)
				}
			}
		}
	}
	if n := len(pod.Spec.Containers) + len(pod.Spec.InitContainers); n > 3 || len(pod.Spec.Volumes) != len(want.Spec.Volumes) && !adds("sidecar.istio.io/userVolume") {
		t.Fatalf("%q = %q: %d containers, %d volumes", key, value, n, len(pod.Spec.Volumes))
	}
}

// mayAdd are the flags that annotations add: those of capture have a value of their own.
var mayAdd = []string{"-q", "-o", "-c", "-g", "--exclude-outbound-uids", "--exclude-inbound-ip-ranges", "--backend", "--ip-families"}

// sameFlags allows the flags that annotations add.
func sameFlags(got, want []string) bool {
	rest := slices.DeleteFunc(slices.Clone(got), func(arg string) bool {
		return strings.HasPrefix(arg, "--proxyComponentLogLevel=") || strings.HasPrefix(arg, "--concurrency=")
	})
	for i := len(want); i+1 < len(rest); i += 2 {
		if !slices.Contains(mayAdd, rest[i]) || strings.ContainsAny(rest[i+1], " \n\"") {
			return false
		}
	}
	return len(rest) >= len(want) && (len(rest)-len(want))%2 == 0
}
