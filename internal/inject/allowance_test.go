package inject

import (
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/pillion-mesh/pillion/internal/inject/rawjson"
)

func amountsOf(pairs ...string) corev1.ResourceList {
	list := corev1.ResourceList{}
	for i := 0; i < len(pairs); i += 2 {
		list[corev1.ResourceName(pairs[i])] = resource.MustParse(pairs[i+1])
	}
	return list
}

// The API server refuses such a pod with a message that doesn't say "sidecar": ours has to.
func TestComplaints(t *testing.T) {
	const spec = `{"containers":[{"name":"app","resources":{"limits":{"memory":"100Mi","cpu":1},"requests":{"memory":"100Mi"}}}],` +
		`"initContainers":[{"name":"istio-init"},{"name":"istio-proxy","restartPolicy":"Always","resources":{"limits":{"cpu":"2","memory":"512Mi"},"requests":{"cpu":"50m","memory":"64Mi"}}}]}`
	const sized = `{"limits":{"memory":"300Mi"}}`
	limits := func(item corev1.LimitRangeItem) Allowance {
		r := corev1.LimitRange{Spec: corev1.LimitRangeSpec{Limits: []corev1.LimitRangeItem{item}}}
		r.Name = "limits"
		return Allowance{Ranges: []corev1.LimitRange{r}}
	}
	quota := func(hard, used corev1.ResourceList, scopes ...corev1.ResourceQuotaScope) Allowance {
		q := corev1.ResourceQuota{Spec: corev1.ResourceQuotaSpec{Scopes: scopes}, Status: corev1.ResourceQuotaStatus{Hard: hard, Used: used}}
		q.Name = "compute"
		return Allowance{Quotas: []corev1.ResourceQuota{q}}
	}
	for _, test := range []struct {
		name      string
		allowance Allowance
		spec      string
		want      []string
	}{
		{"nothing said", Allowance{}, spec, nil},
		{"max", limits(corev1.LimitRangeItem{Type: corev1.LimitTypeContainer, Max: amountsOf("memory", "256Mi", "cpu", "2")}), spec,
			[]string{"set sidecar.istio.io/proxyMemoryLimit: istio-proxy's limits.memory 512Mi > max 256Mi of LimitRange limits"}},
		{"min", limits(corev1.LimitRangeItem{Type: corev1.LimitTypeContainer, Min: amountsOf("cpu", "100m")}), spec,
			[]string{"set sidecar.istio.io/proxyCPU: istio-proxy's requests.cpu 50m < min 100m of LimitRange limits"}},
		{"both of ours", limits(corev1.LimitRangeItem{Type: corev1.LimitTypeContainer, Max: amountsOf("memory", "256Mi")}),
			`{"containers":[{"name":"istio-proxy","resources":` + sized + `}],"initContainers":[{"name":"istio-init","resources":` + sized + `}]}`,
			[]string{"set sidecar.istio.io/proxyMemory: istio-proxy's requests.memory 300Mi > max 256Mi of LimitRange limits",
				"set sidecar.istio.io/proxyMemoryLimit: istio-proxy's limits.memory 300Mi > max 256Mi of LimitRange limits"}},
		{"istio-init alone", limits(corev1.LimitRangeItem{Type: corev1.LimitTypeContainer, Min: amountsOf("cpu", "100m")}),
			`{"containers":[{"name":"istio-proxy"}],"initContainers":[{"name":"istio-init","resources":{"requests":{"cpu":"1m"}}}]}`,
			[]string{"set sidecar.istio.io/proxyCPU: istio-init's requests.cpu 1m < min 100m of LimitRange limits"}},
		{"the application's own fault", limits(corev1.LimitRangeItem{Type: corev1.LimitTypeContainer, Max: amountsOf("memory", "64Mi")}),
			`{"containers":[{"name":"app","resources":{"limits":{"memory":"100Mi"}}},{"name":"istio-proxy"}]}`, nil},
		{"of a pod", limits(corev1.LimitRangeItem{Type: corev1.LimitTypePod, Max: amountsOf("memory", "1Mi")}), spec, nil},
		{"quota", quota(amountsOf("limits.memory", "1Gi"), amountsOf("limits.memory", "600Mi")), spec,
			[]string{"set sidecar.istio.io/proxyMemoryLimit: limits.memory 612Mi, 512Mi of it the sidecar's > 424Mi left of ResourceQuota compute"}},
		{"quota without a prefix; a request that is the limit's", quota(amountsOf("cpu", "1040m"), nil), spec,
			[]string{"set sidecar.istio.io/proxyCPU: requests.cpu 1050m, 50m of it the sidecar's > 1040m left of ResourceQuota compute"}},
		{"quota that is enough", quota(amountsOf("limits.memory", "612Mi"), nil), spec, nil},
		{"quota the application alone is too big for", quota(amountsOf("limits.memory", "50Mi"), nil), spec, nil},
		{"quota for some pods", quota(amountsOf("limits.memory", "1Mi"), nil, corev1.ResourceQuotaScopeBestEffort), spec, nil},
		{"resources of the pod", quota(amountsOf("limits.memory", "200Mi"), nil), `{"resources":{"limits":{"memory":"1Mi"}},` + spec[1:], nil},
		{"no quantity", limits(corev1.LimitRangeItem{Type: corev1.LimitTypeContainer, Max: amountsOf("memory", "1Mi")}),
			`{"containers":[{"name":"istio-proxy","resources":{"limits":{"memory":{"a":1}}}}]}`, nil},
	} {
		root, err := rawjson.Parse(test.spec)
		if err != nil {
			t.Fatal(err)
		}
		if got := test.allowance.complaints(root); !slices.Equal(got, test.want) {
			t.Errorf("%s:\n got %q\nwant %q", test.name, got, test.want)
		}
	}
}

// TestComplaintsWithLongNames: the webhook cuts warnings at 120 characters. What to do, and why, mustn't be behind that.
func TestComplaintsWithLongNames(t *testing.T) {
	spec, err := rawjson.Parse(`{"containers":[{"name":"app","resources":{"limits":{"memory":"1023Mi"}}},{"name":"istio-proxy","resources":{"limits":{"memory":"1234567890"}}}]}`)
	if err != nil {
		t.Fatal(err)
	}
	long := strings.Repeat("very-long-name.", 16) + "end"
	ranges, quota := corev1.LimitRange{}, corev1.ResourceQuota{}
	ranges.Name, quota.Name = long, long
	ranges.Spec.Limits = []corev1.LimitRangeItem{{Type: corev1.LimitTypeContainer, Max: amountsOf("memory", "1234567889")}}
	quota.Status.Hard = amountsOf("limits.memory", "2234567889")
	want := []string{
		"set sidecar.istio.io/proxyMemory: istio-proxy's requests.memory 1234567890 > max 1234567889 of LimitRange very-",
		"set sidecar.istio.io/proxyMemoryLimit: istio-proxy's limits.memory 1234567890 > max 1234567889 of LimitRange ver",
		"set sidecar.istio.io/proxyMemoryLimit: limits.memory 2307261138, 1234567890 of it the sidecar's > 2234567889 left of Re",
	}
	got := Allowance{Ranges: []corev1.LimitRange{ranges}, Quotas: []corev1.ResourceQuota{quota}}.complaints(spec)
	if len(got) != len(want) {
		t.Fatalf("%q", got)
	}
	for i := range got {
		if shown := got[i][:min(len(got[i]), 119)]; !strings.HasPrefix(shown, want[i][:min(len(want[i]), 119)]) {
			t.Errorf("%q\nis shown as %q, want %q", got[i], shown, want[i])
		}
	}
}
