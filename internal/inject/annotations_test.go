package inject_test

import (
	"context"
	"encoding/json"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/pillion-mesh/pillion/internal/inject"
)

// injectAnnotated injects a small pod with these annotations.
func injectAnnotated(set *inject.Set, annotations map[string]string) inject.Result {
	pod := mustJSON(map[string]any{
		"metadata": map[string]any{"name": "p", "annotations": annotations},
		"spec":     map[string]any{"containers": []any{map[string]any{"name": "app", "image": "a"}}},
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
	{"inject.istio.io/templates", "sidecar", ""},
	{"inject.istio.io/templates", " , ", "want 1 to 8 template names"},
	{"sidecar.istio.io/proxyImage", "registry.example:5000/a/b:1.2@sha256:" + strings.Repeat("ab", 32), ""},
	{"sidecar.istio.io/proxyImage", "my-proxy", ""},
	{"sidecar.istio.io/proxyImage", "a b", `"a b" is not an image reference; want an image reference, such as registry.example/pillion-sidecar:1.2`},
	{"sidecar.istio.io/proxyImage", "", "is not an image reference"},
	{"sidecar.istio.io/proxyImage", "x\"}],\"y\":\"", "is not an image reference"},
	{"sidecar.istio.io/proxyCPU", "100m", ""},
	{"sidecar.istio.io/proxyCPU", "-1", `"-1" is not a quantity of 0 or more`},
	{"sidecar.istio.io/proxyMemory", "1Zi", "is not a quantity"},
	{"sidecar.istio.io/proxyCPULimit", "0", ""},
	{"sidecar.istio.io/proxyMemoryLimit", "", "is not a quantity"},
	{"sidecar.istio.io/proxyMemoryLimit", "32Mi", "is below the request 64Mi"},
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
	{"traffic.sidecar.istio.io/includeOutboundPorts", "80,x", `"x" is not a port`},
	{"traffic.sidecar.istio.io/excludeOutboundPorts", "80\n- --evil", `is not a port`},
	{"sidecar.istio.io/proxyMemory", "128Mi", ""},
	{"sidecar.istio.io/proxyCPULimit", "1 core", "is not a quantity"},
	{"sidecar.istio.io/proxyMemoryLimit", "1Gi", ""},
	{"traffic.sidecar.istio.io/includeOutboundPorts", "3306", ""},
	{"traffic.sidecar.istio.io/excludeOutboundPorts", "25,1024-2048", ""},
	{"sidecar.istio.io/nativeSidecar", "true", ""},
	{"sidecar.istio.io/nativeSidecar", "maybe", `"maybe" is not a boolean; want true or false`},
	{"pillion.dev/allow-proxy-uid", "1", ""},
	{"pillion.dev/allow-proxy-uid", "", "is not a boolean"},
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

// TestEveryAnnotationIsTested: every key users write has a good and a bad value above.
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
		if !a.Label && a.Group != inject.GroupWritten && a.Group != inject.GroupNoEffect && a.Key != "sidecar.istio.io/inject" && (good == 0 || bad == 0) {
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
	f.Fuzz(func(t *testing.T, key, value string) {
		result := injectAnnotated(set, map[string]string{key: value})
		if result.Outcome != inject.OutcomeInject {
			if result.Pod() != nil || result.Patch != nil {
				t.Fatal("a patch without an injection")
			}
			return
		}
		pod, want := podOf(t, &result), podOf(t, &plain)
		for _, list := range [][2][]corev1.Container{{pod.Spec.Containers, want.Spec.Containers}, {pod.Spec.InitContainers, want.Spec.InitContainers}} {
			for _, c := range list[0] {
				for _, w := range list[1] {
					if c.Name == w.Name && (len(c.Env) != len(w.Env) || !sameFlags(c.Args, w.Args)) {
						t.Fatalf("%s = %q changes container %s: %v %v", key, value, c.Name, c.Args, c.Env)
					}
				}
			}
		}
		if n := len(pod.Spec.Containers) + len(pod.Spec.InitContainers); n > 3 || len(pod.Spec.Volumes) != len(want.Spec.Volumes) {
			t.Fatalf("%s = %q: %d containers, %d volumes", key, value, n, len(pod.Spec.Volumes))
		}
	})
}

// sameFlags allows the flags that lists add, each with one value.
func sameFlags(got, want []string) bool {
	extra := 0
	for i := len(want); i+1 < len(got); i += 2 {
		if got[i] != "-q" && got[i] != "-o" {
			return false
		}
		extra += 2
	}
	return len(got) == len(want)+extra
}
