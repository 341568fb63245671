package inject_test

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/pillion-mesh/pillion/api/v1alpha1"
	"github.com/pillion-mesh/pillion/internal/inject"
)

func injectSpec(set *inject.Set, annotations map[string]string, spec string) inject.Result {
	pod := `{"metadata":{"name":"p","annotations":` + mustJSON(annotations) + `},"spec":` + spec + `}`
	return set.Inject(context.Background(), inject.Request{Entry: inject.EntryNamespace, Namespace: inject.Namespace{Name: "shop"}, Pod: []byte(pod)})
}

// fourOf are a container's: requests of cpu and memory, limits of cpu and memory.
func fourOf(t testing.TB, result *inject.Result) string {
	t.Helper()
	r := proxyOf(t, result).Resources
	return r.Requests.Cpu().String() + " " + r.Requests.Memory().String() + " " + r.Limits.Cpu().String() + " " + r.Limits.Memory().String()
}

func TestRatio(t *testing.T) {
	ratio := func(percent int32, low, high string) *v1alpha1.Ratio {
		r := &v1alpha1.Ratio{Percent: percent}
		if low != "" {
			r.Min = new(resource.MustParse(low))
		}
		if high != "" {
			r.Max = new(resource.MustParse(high))
		}
		return r
	}
	const cpu2, memory2 = `{"name":"a","resources":{"requests":{"cpu":"1"}}},{"name":"b","resources":{"requests":{"cpu":"500m"}}}`,
		`{"name":"a","resources":{"requests":{"memory":"1Gi"},"limits":{"memory":"2Gi"}}},{"name":"b"}`
	for _, row := range []struct {
		what        string
		ratio       v1alpha1.ResourceRatio
		containers  string
		annotations map[string]string
		want        string
	}{
		{"of the sum", v1alpha1.ResourceRatio{Requests: v1alpha1.Ratios{CPU: ratio(10, "", "")}}, cpu2, nil, "150m 64Mi 2 512Mi"},
		{"at least", v1alpha1.ResourceRatio{Requests: v1alpha1.Ratios{CPU: ratio(10, "200m", "1")}}, cpu2, nil, "200m 64Mi 2 512Mi"},
		{"at most", v1alpha1.ResourceRatio{Requests: v1alpha1.Ratios{CPU: ratio(100, "", "250m")}}, cpu2, nil, "250m 64Mi 2 512Mi"},
		{"nobody sets any", v1alpha1.ResourceRatio{Requests: v1alpha1.Ratios{Memory: ratio(10, "1Gi", "")}}, cpu2, nil, "50m 64Mi 2 512Mi"},
		{"requests and limits", v1alpha1.ResourceRatio{Requests: v1alpha1.Ratios{Memory: ratio(25, "", "")}, Limits: v1alpha1.Ratios{Memory: ratio(50, "", "")}}, memory2, nil, "50m 256Mi 2 1Gi"},
		{"above the limit", v1alpha1.ResourceRatio{Requests: v1alpha1.Ratios{Memory: ratio(100, "", "")}}, memory2, nil, "50m 1Gi 2 1Gi"},
		{"an annotation wins", v1alpha1.ResourceRatio{Requests: v1alpha1.Ratios{CPU: ratio(10, "", "")}}, cpu2, map[string]string{"sidecar.istio.io/proxyCPU": "7m"}, "7m 64Mi 2 512Mi"},
		{"the pod's own proxy doesn't count", v1alpha1.ResourceRatio{Requests: v1alpha1.Ratios{CPU: ratio(10, "", "")}}, cpu2 + `,{"name":"istio-proxy","image":"auto","resources":{"requests":{"memory":"80Mi"}}}`, nil, "150m 80Mi 2 512Mi"},
		{"more than there is", v1alpha1.ResourceRatio{Requests: v1alpha1.Ratios{CPU: ratio(1000, "", "3")}}, `{"name":"a","resources":{"requests":{"cpu":"1P"}}},{"name":"b","resources":{"requests":{"cpu":"9E"}}}`, nil, "3 64Mi 3 512Mi"},
	} {
		set := setOf(t, injector("default", "default", func(s *v1alpha1.InjectorSpec) { s.Proxy.ResourceRatio = &row.ratio }))
		result := injectSpec(set, row.annotations, `{"containers":[`+row.containers+`]}`)
		if got := fourOf(t, &result); got != row.want || len(result.Warnings) > 0 {
			t.Errorf("%s: %s, warnings %q; want %s", row.what, got, result.Warnings, row.want)
		}
	}
}

// TestResourcesOfThePod: what is set for the whole pod has room for the sidecar, is put back, and isn't raised twice.
func TestResourcesOfThePod(t *testing.T) {
	share := func(s *v1alpha1.InjectorSpec) { s.Proxy.PodResources = v1alpha1.PodResourcesShare }
	noLimits := func(s *v1alpha1.InjectorSpec) {
		s.Proxy.Resources = v1alpha1.DefaultResources()
		s.Proxy.Resources.Limits = nil
	}
	for _, row := range []struct {
		what            string
		edit            func(*v1alpha1.InjectorSpec)
		annotations     map[string]string
		resources, want string
		proxy           string
	}{
		{"none", nil, nil, `null`, `null`, "50m 64Mi 2 512Mi"},
		{"all", nil, nil, `{"requests":{"cpu":"1","memory":"1Gi"},"limits":{"cpu":"2","memory":"2Gi"}}`, `{"limits":{"cpu":"4","memory":"2560Mi"},"requests":{"cpu":"1050m","memory":"1088Mi"}}`, "50m 64Mi 2 512Mi"},
		{"one", nil, nil, `{"limits":{"memory":"1Gi"}}`, `{"limits":{"memory":"1536Mi"}}`, "50m 64Mi 2 512Mi"},
		{"others", nil, nil, `{"limits":{"hugepages-2Mi":"4Mi"}}`, `{"limits":{"hugepages-2Mi":"4Mi"}}`, "50m 64Mi 2 512Mi"},
		{"a limit where the proxy has none", noLimits, nil, `{"limits":{"cpu":"2"}}`, `{"limits":{"cpu":"2050m"}}`, "50m 64Mi 0 0"},
		{"annotated", nil, map[string]string{"sidecar.istio.io/proxyCPU": "1"}, `{"requests":{"cpu":"1"}}`, `{"requests":{"cpu":"2"}}`, "1 64Mi 2 512Mi"},
		{"shared", share, nil, `{"requests":{"cpu":"1"}}`, `{"requests":{"cpu":"1"}}`, "0 0 0 0"},
		{"shared, but annotated", share, map[string]string{"sidecar.istio.io/proxyCPU": "10m"}, `{"requests":{"cpu":"1"}}`, `{"requests":{"cpu":"1"}}`, "10m 0 0 0"},
		{"shared by none", share, nil, `null`, `null`, "50m 64Mi 2 512Mi"},
		{"padded by annotation", share, map[string]string{"pillion.dev/pod-resources": "Pad"}, `{"requests":{"cpu":"1"}}`, `{"requests":{"cpu":"1050m"}}`, "50m 64Mi 2 512Mi"},
	} {
		edit := row.edit
		if edit == nil {
			edit = func(*v1alpha1.InjectorSpec) {}
		}
		set := setOf(t, injector("default", "default", edit))
		result := injectSpec(set, row.annotations, `{"resources":`+row.resources+`,"containers":[{"name":"app"}]}`)
		if got := mustJSON(podOf(t, &result).Spec.Resources); got != row.want || fourOf(t, &result) != row.proxy {
			t.Errorf("%s: %s, the proxy %s; want %s, %s", row.what, got, fourOf(t, &result), row.want, row.proxy)
		}
		request := inject.Request{Entry: inject.EntryNamespace, Namespace: inject.Namespace{Name: "shop"}, Pod: result.Pod()}
		if again := set.Inject(t.Context(), request); again.Outcome != inject.OutcomeInject || again.Patch != nil {
			t.Errorf("%s, again: %s: %s, patch %s", row.what, again.Outcome, again.Message(), again.Patch)
		}
		bigger := setOf(t, injector("default", "default", edit, func(s *v1alpha1.InjectorSpec) { s.Proxy.LogLevel = "debug" }))
		updated := bigger.Inject(t.Context(), request)
		if got := mustJSON(podOf(t, &updated).Spec.Resources); got != row.want {
			t.Errorf("%s, by another injector: %s; want %s", row.what, got, row.want)
		}
	}
}

// TestLimitsBelowRequests: what nobody wrote gives way to what somebody did, with a warning; only the pod's own words can
// contradict each other.
func TestLimitsBelowRequests(t *testing.T) {
	set := setOf(t, injector("default", "default"))
	for _, row := range []struct{ annotations, want, says string }{
		{`{"sidecar.istio.io/proxyMemoryLimit":"32Mi"}`, "50m 32Mi 2 32Mi", `annotation "sidecar.istio.io/proxyMemoryLimit" = "32Mi" is below the request 64Mi: the request is lowered to it`},
		{`{"sidecar.istio.io/proxyCPULimit":"10m"}`, "10m 64Mi 10m 512Mi", `annotation "sidecar.istio.io/proxyCPULimit" = "10m" is below the request 50m: the request is lowered to it`},
		{`{"sidecar.istio.io/proxyCPULimit":"0"}`, "50m 64Mi 0 512Mi", ""},
		{`{"sidecar.istio.io/proxyMemory":"1Gi"}`, "50m 1Gi 2 1Gi", `annotation "sidecar.istio.io/proxyMemory" = "1Gi" is above the limit 512Mi: the limit is raised to it`},
		{`{"sidecar.istio.io/proxyMemory":"48Mi","sidecar.istio.io/proxyMemoryLimit":"32Mi"}`, "", `annotation "sidecar.istio.io/proxyMemoryLimit" = "32Mi": is below the request 48Mi; raise it, or lower sidecar.istio.io/proxyMemory`},
	} {
		var annotations map[string]string
		if err := json.Unmarshal([]byte(row.annotations), &annotations); err != nil {
			t.Fatal(err)
		}
		result := injectSpec(set, annotations, `{"containers":[{"name":"app"}]}`)
		if row.want == "" {
			if result.Outcome != inject.OutcomeDeny || result.Message() != row.says {
				t.Errorf("%s: %s: %s\nwant a denial: %s", row.annotations, result.Outcome, result.Message(), row.says)
			}
			continue
		}
		if got := fourOf(t, &result); got != row.want || strings.Join(result.Warnings, "\n") != row.says {
			t.Errorf("%s: %s, warnings %q; want %s, %q", row.annotations, got, result.Warnings, row.want, row.says)
		}
	}
}

// TestMoreThanThePodHas: the API server refuses a container that wants more than spec.resources has, in words that don't
// name the annotation.
func TestMoreThanThePodHas(t *testing.T) {
	set := setOf(t, injector("default", "default"))
	const whole = `{"resources":{"requests":{"cpu":"500m"},"limits":{"cpu":"1","memory":"1Gi"}},"containers":[{"name":"app"}]}`
	for _, row := range []struct{ way, key, value, says string }{
		{"Share", "sidecar.istio.io/proxyCPULimit", "4", `annotation "sidecar.istio.io/proxyCPULimit" = "4": is above the pod's own spec.resources.limits.cpu 1, which the sidecar shares; lower it, or annotate the pod pillion.dev/pod-resources: Pad`},
		{"Share", "sidecar.istio.io/proxyCPU", "501m", "is above the pod's own spec.resources.requests.cpu 500m, which the sidecar shares"},
		{"Share", "sidecar.istio.io/proxyMemoryLimit", "1Gi", ""},
		{"Share", "sidecar.istio.io/proxyMemoryLimit", "0", ""},
		{"Share", "sidecar.istio.io/proxyMemory", "1Gi", ""},
		{"Pad", "sidecar.istio.io/proxyCPULimit", "4", ""},
	} {
		result := injectSpec(set, map[string]string{"pillion.dev/pod-resources": row.way, row.key: row.value}, whole)
		if denied := result.Outcome == inject.OutcomeDeny; denied != (row.says != "") || denied && !strings.Contains(result.Message(), row.says) {
			t.Errorf("%s, %s = %s: %s: %s\nwant %q", row.way, row.key, row.value, result.Outcome, result.Message(), row.says)
		}
	}
}

// TestQuantitiesTakeNoTime: the API's parser needs seconds for some short ones.
func TestQuantitiesTakeNoTime(t *testing.T) {
	set := setOf(t, injector("default", "default"))
	done := make(chan string, 1)
	go func() {
		inj := injector("default", "default")
		inj.Spec.Templates = []v1alpha1.Template{{Name: "slow", Inline: `spec: {containers: [{name: a, resources: {limits: {cpu: "1E-1000000000"}}}]}`}}
		if _, err := inject.Compile(&inj, operator()); err == nil || !strings.Contains(err.Error(), "wants quantity") {
			t.Errorf("a template with such a quantity: %v", err)
		}
		result := injectAnnotated(set, map[string]string{"sidecar.istio.io/proxyCPU": "1E-1000000000"})
		done <- result.Message()
	}()
	select {
	case message := <-done:
		if !strings.Contains(message, "is not a quantity") {
			t.Error(message)
		}
	case <-time.After(30 * time.Second): // it is microseconds, or minutes
		t.Error("a quantity with a long exponent is still being read")
	}
}
