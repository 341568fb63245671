package inject_test

import (
	"encoding/json"
	"runtime"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/pillion-mesh/pillion/api/v1alpha1"
	"github.com/pillion-mesh/pillion/internal/inject"
	"github.com/pillion-mesh/pillion/internal/istio"
)

// proxyOf is the sidecar of an injected pod, wherever it stands.
func proxyOf(t testing.TB, result *inject.Result) corev1.Container {
	t.Helper()
	pod := podOf(t, result)
	for _, c := range slices.Concat(pod.Spec.Containers, pod.Spec.InitContainers) {
		if c.Name == "istio-proxy" {
			return c
		}
	}
	t.Fatalf("no istio-proxy: %s", result.Message())
	return corev1.Container{}
}

// captureFlag is what istio-init says for a flag; "-" if it isn't there.
func captureFlag(t testing.TB, result *inject.Result, flag string) string {
	t.Helper()
	for _, c := range podOf(t, result).Spec.InitContainers {
		if at := slices.Index(c.Args, flag); c.Name == "istio-init" && at >= 0 {
			return c.Args[at+1]
		}
	}
	return "-"
}

func envOf(c corev1.Container, name string) string {
	for _, e := range c.Env {
		if e.Name == name {
			return e.Value
		}
	}
	return "-"
}

// TestPrecedence: built in, Injector, ProxyConfig, annotation, the pod's own container.
func TestPrecedence(t *testing.T) {
	plain := setOf(t, injector("default", "default"))
	set := setOf(t, injector("default", "default", func(s *v1alpha1.InjectorSpec) {
		s.Proxy.StatusPort = 15101
		s.Proxy.Env = []v1alpha1.EnvVar{{Name: "A", Value: "injector"}, {Name: "B", Value: "$(POD_NAME)"}, {Name: "POD_NAME", Value: "x"}}
	}))
	config := map[string]string{"proxy.istio.io/config": "statusPort: 15102\nproxyMetadata: {A: config}"}
	both := map[string]string{"proxy.istio.io/config": config["proxy.istio.io/config"], "status.sidecar.istio.io/port": "15103"}
	for _, row := range []struct {
		set             *inject.Set
		annotations     map[string]string
		port, a, podEnv string
	}{
		{plain, nil, "-", "-", ""}, {set, nil, "15101", "injector", "x"}, {set, config, "15102", "config", "x"}, {set, both, "15103", "config", "x"},
	} {
		result := injectAnnotated(row.set, row.annotations)
		proxy := proxyOf(t, &result)
		if port, a, name := envOf(proxy, "PILLION_STATUS_PORT"), envOf(proxy, "A"), envOf(proxy, "POD_NAME"); port != row.port || a != row.a || name != row.podEnv {
			t.Errorf("%v: port %s, A=%s, POD_NAME=%s; want %+v", row.annotations, port, a, name, row)
		}
	}
	result := injectAnnotated(set, both)
	if got := envOf(proxyOf(t, &result), "B"); got != "$$(POD_NAME)" {
		t.Errorf("a literal value is %q: the kubelet would put another in", got)
	}
	own := set.Inject(t.Context(), inject.Request{Entry: inject.EntryNamespace, Pod: []byte(`{"metadata":{"annotations":{"sidecar.istio.io/logLevel":"debug"}},
		"spec":{"containers":[{"name":"app"},{"name":"istio-proxy","image":"auto","env":[{"name":"A","value":"own"}],"securityContext":{"runAsGroup":7}}]}}`)})
	if got := envOf(proxyOf(t, &own), "A"); got != "own" || captureFlag(t, &own, "-g") != "7" {
		t.Errorf("the pod's own container has A=%s, capture leaves group %s alone", got, captureFlag(t, &own, "-g"))
	}
}

// TestUsualPods: what is finished for pods that change no setting is what others get that change them to the same.
func TestUsualPods(t *testing.T) {
	const same = `"pillion.dev/allow-proxy-uid":"false","traffic.sidecar.istio.io/excludeInterfaces":"net1"`
	for _, template := range []string{"sidecar", "gateway", "proxyless"} {
		set := setOf(t, injector("default", "default", func(s *v1alpha1.InjectorSpec) {
			s.DefaultTemplates = []string{template}
			s.Proxy.StatusPort, s.Capture.ExcludeInterfaces, s.Proxy.ComponentLogLevel = 15101, "net1", "http:debug"
		}))
		for _, native := range []bool{false, true} {
			inject := func(annotations string) string {
				result := set.Inject(t.Context(), inject.Request{
					Entry: inject.EntryNamespace, Namespace: inject.Namespace{Name: "shop"}, Native: native,
					Pod: []byte(strings.Replace(plainPod, `"annotations":{`, `"annotations":{`+annotations, 1)),
				})
				return mustJSON(podOf(t, &result).Spec)
			}
			if usual, other := inject(""), inject(same+","); usual != other {
				t.Errorf("%s, native %v: usually\n%s\nelse\n%s", template, native, usual, other)
			}
		}
	}
}

func TestNoStatusPort(t *testing.T) {
	result := injectAnnotated(setOf(t, injector("default", "default")), map[string]string{"status.sidecar.istio.io/port": "0"})
	proxy := proxyOf(t, &result)
	if proxy.ReadinessProbe != nil || proxy.StartupProbe != nil || envOf(proxy, "PILLION_STATUS_PORT") != "0" || captureFlag(t, &result, "-d") != "15090,15021" {
		t.Errorf("readiness %v, startup %v, env %s, not captured %s", proxy.ReadinessProbe, proxy.StartupProbe, envOf(proxy, "PILLION_STATUS_PORT"), captureFlag(t, &result, "-d"))
	}
}

// TestProxyConfigWarns: what has no effect is told, what nobody knows too.
func TestProxyConfigWarns(t *testing.T) {
	result := injectAnnotated(setOf(t, injector("default", "default")), map[string]string{
		"proxy.istio.io/config": "tracing: {zipkin: {address: x}}\nconcurency: 1\nwhatever_else: 1\nhold_application_until_proxy_starts: true\n",
	})
	want := []string{
		`proxy.istio.io/config: field "concurency" is unknown and has no effect; did you mean concurrency?`,
		`proxy.istio.io/config: tracing has no effect`,
		`proxy.istio.io/config: field "whateverElse" is unknown and has no effect`,
	}
	if !slices.Equal(result.Warnings, want) {
		t.Errorf("warnings:\n%s\nwant:\n%s", strings.Join(result.Warnings, "\n"), strings.Join(want, "\n"))
	}
	var config map[string]any
	if err := json.Unmarshal([]byte(envOf(proxyOf(t, &result), "PROXY_CONFIG")), &config); err != nil || config["holdApplicationUntilProxyStarts"] != true {
		t.Errorf("PROXY_CONFIG is %v: %v", config, err)
	}
}

// TestAliasesOfYAML: a few lines that would take gigabytes are no ProxyConfig. Nothing may be made of them first, so each
// is measured: a bomb that is caught late has already gone off.
func TestAliasesOfYAML(t *testing.T) {
	text := "a: &a \"" + strings.Repeat("x", 20000) + "\"\n"
	set := setOf(t, injector("default", "default"))
	for _, config := range []string{
		text + "b: &b [" + strings.Repeat("*a,", 300) + "]\nc: [" + strings.Repeat("*b,", 60) + "]\n",
		"a: &a 1", "&a {concurrency: 1}", "a: &a {x: 1}\nb: {<<: *a}", "a: &a [*a]", "? &a b\n: 1", "a: &a {x: 1}\nb: {<<: [" + strings.Repeat("*a,", 9000) + "]}",
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		result := injectAnnotated(set, map[string]string{"proxy.istio.io/config": config})
		runtime.ReadMemStats(&after)
		if result.Outcome != inject.OutcomeDeny || !strings.Contains(result.Message(), "anchors and aliases aren't supported; write it out") {
			t.Errorf("%.40q: %s: %s", config, result.Outcome, result.Message())
		}
		if made := after.TotalAlloc - before.TotalAlloc; made > 64<<20 {
			t.Errorf("%.40q took %d MiB", config, made>>20)
		}
	}
	for _, config := range []string{"a: &", "a: *b", "a: &a *a"} {
		if result := injectAnnotated(set, map[string]string{"proxy.istio.io/config": config}); result.Outcome != inject.OutcomeDeny {
			t.Errorf("%q: %s", config, result.Outcome)
		}
	}
}

// TestLongProxyConfig: no process starts with a variable of 128 KiB, and "<" is six bytes in JSON.
func TestLongProxyConfig(t *testing.T) {
	set := setOf(t, injector("default", "default"))
	result := injectAnnotated(set, map[string]string{"proxy.istio.io/config": "tracing: \"" + strings.Repeat(`\x01`, 8000) + "\""})
	if got := envOf(proxyOf(t, &result), "PROXY_CONFIG"); len(got) > 64<<10 {
		t.Errorf("PROXY_CONFIG has %d bytes", len(got))
	}
	result = injectAnnotated(set, map[string]string{"proxy.istio.io/config": "tracing: \"" + strings.Repeat("<", 32000) + "\""})
	if result.Outcome != inject.OutcomeDeny || !strings.Contains(result.Message(), "as JSON it has 192014 bytes; want at most 65536") {
		t.Errorf("%s: %s", result.Outcome, result.Message())
	}
}

// TestKeysOfOthers: Istio and Prometheus have annotations on pods that are none of ours to judge.
func TestKeysOfOthers(t *testing.T) {
	result := injectAnnotated(setOf(t, injector("default", "default")), map[string]string{
		"istio.io/dataplane-mode": "none", "istio.io/use-waypoint": "w", "networking.istio.io/tunnel": "http",
		"prometheus.io/path": "/m", "ambient.istio.io/redirection": "enabled", "topology.istio.io/subzone": "a",
	})
	if len(result.Warnings) > 0 {
		t.Errorf("warnings: %q", result.Warnings)
	}
	result = injectAnnotated(setOf(t, injector("default", "default")), map[string]string{"istio.io/reroute-virtual-interface": "", "proxy.istio.io/confg": ""})
	if got := strings.Join(result.Warnings, "\n"); strings.Count(got, "did you mean") != 2 {
		t.Errorf("warnings: %s", got)
	}
}

// TestSidecarsOwnVolumes: the names and paths annotations can't take are those of the built-in template.
func TestSidecarsOwnVolumes(t *testing.T) {
	set := setOf(t, injector("default", "default"))
	plain := injectAnnotated(set, nil)
	for _, volume := range podOf(t, &plain).Spec.Volumes {
		result := injectAnnotated(set, map[string]string{"sidecar.istio.io/userVolume": `{"` + volume.Name + `":{"emptyDir":{}}}`})
		if result.Outcome != inject.OutcomeDeny {
			t.Errorf("another volume %s: %s", volume.Name, result.Outcome)
		}
	}
	for _, mount := range proxyOf(t, &plain).VolumeMounts {
		result := injectAnnotated(set, map[string]string{"sidecar.istio.io/userVolumeMount": `{"data":{"mountPath":"` + mount.MountPath + `"}}`})
		if result.Outcome != inject.OutcomeDeny {
			t.Errorf("another mount at %s: %s", mount.MountPath, result.Outcome)
		}
	}
	result := injectAnnotated(set, map[string]string{
		"sidecar.istio.io/userVolume": `{"x":{"emptyDir":{}}}`, "sidecar.istio.io/userVolumeMount": `{"x":{"mountPath":"/x"},"istio-token":{"mountPath":"/y"}}`,
	})
	if !strings.Contains(podOf(t, &result).Annotations["sidecar.istio.io/status"], `"x"`) {
		t.Errorf("status: %s", podOf(t, &result).Annotations["sidecar.istio.io/status"])
	}
	again := set.Inject(t.Context(), inject.Request{Entry: inject.EntryNamespace, Namespace: inject.Namespace{Name: "shop"}, Pod: result.Pod()})
	if again.Outcome != inject.OutcomeInject || again.Patch != nil {
		t.Errorf("again: %s: %s, patch %s", again.Outcome, again.Message(), again.Patch)
	}
}

// TestVirtualInterfaces are named by either annotation; the newer one counts where both are there.
func TestVirtualInterfaces(t *testing.T) {
	set := setOf(t, injector("default", "default"))
	for name, row := range map[string]struct {
		annotations map[string]string
		want        string
	}{
		"none": {nil, "-"},
		"old":  {map[string]string{"traffic.sidecar.istio.io/kubevirtInterfaces": "k6t-a, k6t-b"}, "k6t-a,k6t-b"},
		"new":  {map[string]string{"istio.io/reroute-virtual-interfaces": "net2"}, "net2"},
		"both": {map[string]string{"traffic.sidecar.istio.io/kubevirtInterfaces": "k6t-a", "istio.io/reroute-virtual-interfaces": "net2"}, "net2"},
	} {
		result := injectAnnotated(set, row.annotations)
		if got := captureFlag(t, &result, "-k"); got != row.want {
			t.Errorf("%s: -k is %q, want %q", name, got, row.want)
		}
	}
}

// TestTransparentCapture: the proxy gets the one right it needs, which only root holds, and capture knows it by its group.
func TestTransparentCapture(t *testing.T) {
	set := setOf(t, injector("default", "default"))
	result := injectAnnotated(set, map[string]string{"sidecar.istio.io/interceptionMode": "TPROXY"})
	security := proxyOf(t, &result).SecurityContext
	if *security.RunAsUser != 0 || *security.RunAsGroup != 1337 || *security.RunAsNonRoot || *security.AllowPrivilegeEscalation {
		t.Errorf("%+v", security)
	}
	if got := mustJSON(security.Capabilities); got != `{"add":["NET_ADMIN"],"drop":["ALL"]}` {
		t.Error(got)
	}
	if mode, uid := captureFlag(t, &result, "-m"), captureFlag(t, &result, "-u"); mode != "TPROXY" || uid != "1337" {
		t.Errorf("capture has mode %s and user %s", mode, uid)
	}
	if got := envOf(proxyOf(t, &result), "ISTIO_META_INTERCEPTION_MODE"); got != "TPROXY" {
		t.Errorf("the agent is told of mode %s", got)
	}
	both := injectAnnotated(set, map[string]string{"sidecar.istio.io/interceptionMode": "TPROXY", istio.AnnotationNetBindService: "true"})
	if got := mustJSON(proxyOf(t, &both).SecurityContext.Capabilities); got != `{"add":["NET_ADMIN","NET_BIND_SERVICE"],"drop":["ALL"]}` {
		t.Error(got)
	}
	spec := setOf(t, injector("default", "default", func(s *v1alpha1.InjectorSpec) { s.Capture.Mode = v1alpha1.CaptureTProxy }))
	of := injectAnnotated(spec, nil)
	if got := mustJSON(proxyOf(t, &of).SecurityContext); got != mustJSON(security) {
		t.Errorf("by the Injector: %s", got)
	}
}
