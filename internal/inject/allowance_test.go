package inject

import (
	"slices"
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
			[]string{"LimitRange limits: the limits.memory 512Mi of istio-proxy is above the max 256Mi; set sidecar.istio.io/proxyMemoryLimit"}},
		{"min", limits(corev1.LimitRangeItem{Type: corev1.LimitTypeContainer, Min: amountsOf("cpu", "100m")}), spec,
			[]string{"LimitRange limits: the requests.cpu 50m of istio-proxy is below the min 100m; set sidecar.istio.io/proxyCPU"}},
		{"the application's own fault", limits(corev1.LimitRangeItem{Type: corev1.LimitTypeContainer, Max: amountsOf("memory", "64Mi")}),
			`{"containers":[{"name":"app","resources":{"limits":{"memory":"100Mi"}}},{"name":"istio-proxy"}]}`, nil},
		{"of a pod", limits(corev1.LimitRangeItem{Type: corev1.LimitTypePod, Max: amountsOf("memory", "1Mi")}), spec, nil},
		{"quota", quota(amountsOf("limits.memory", "1Gi"), amountsOf("limits.memory", "600Mi")), spec,
			[]string{"ResourceQuota compute has 424Mi of limits.memory left: the pod needs 612Mi, the sidecar 512Mi of it; set sidecar.istio.io/proxyMemoryLimit"}},
		{"quota without a prefix; a request that is the limit's", quota(amountsOf("cpu", "1040m"), nil), spec,
			[]string{"ResourceQuota compute has 1040m of requests.cpu left: the pod needs 1050m, the sidecar 50m of it; set sidecar.istio.io/proxyCPU"}},
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
