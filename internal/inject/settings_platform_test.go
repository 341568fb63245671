package inject_test

import (
	"strings"
	"testing"

	"github.com/pillion-mesh/pillion/api/v1alpha1"
	"github.com/pillion-mesh/pillion/internal/inject"
)

func TestUserRangeOfTheNamespace(t *testing.T) {
	for _, row := range []struct {
		uidRange, spec string
		injector       int64
		want           int64
		warns          string
	}{
		{"1000740000/10000", `{"containers":[{"name":"app"}]}`, 0, 1000740001, ""},
		{"1000740000-1000749999", `{"containers":[{"name":"app"}]}`, 0, 1000740001, ""},
		{"1000740000/10000", `{"containers":[{"name":"app","securityContext":{"runAsUser":1000740001}},{"name":"b","securityContext":{"runAsUser":1000740002}}]}`, 0, 1000740003, ""},
		{"1000740000/10000", `{"securityContext":{"runAsUser":1000740001},"containers":[{"name":"app"}]}`, 0, 1000740002, ""},
		{"1000740000/10000", `{"containers":[{"name":"app"}]}`, 2000, 2000, ""},
		{"1000740000/1", `{"containers":[{"name":"app"}]}`, 0, 1337, "no user of 1000740000/1 is free; the sidecar's stays 1337"},
		{"many", `{"containers":[{"name":"app"}]}`, 0, 1337, `"many" is no range such as 1000740000/10000; the sidecar's user stays 1337`},
		{"4294967290/10000", `{"containers":[{"name":"app"}]}`, 0, 1337, "is no range"},
	} {
		set := setOf(t, injector("default", "default", func(s *v1alpha1.InjectorSpec) { s.Proxy.UID = row.injector }))
		result := set.Inject(t.Context(), inject.Request{
			Entry: inject.EntryNamespace, Pod: []byte(`{"metadata":{"name":"p"},"spec":` + row.spec + `}`),
			Namespace: inject.Namespace{Name: "shop", Annotations: map[string]string{"openshift.io/sa.scc.uid-range": row.uidRange}},
		})
		context := proxyOf(t, &result).SecurityContext
		flag := captureFlag(t, &result, "-u")
		if *context.RunAsUser != row.want || *context.RunAsGroup != row.want || flag != mustJSON(row.want) {
			t.Errorf("%s %s: user %d, group %d, not captured %s; want %d", row.uidRange, row.spec, *context.RunAsUser, *context.RunAsGroup, flag, row.want)
		}
		if warnings := strings.Join(result.Warnings, "; "); !strings.Contains(warnings, row.warns) || row.warns == "" && warnings != "" {
			t.Errorf("%s: warnings %q", row.uidRange, warnings)
		}
	}
}

func TestOtherNetworksWarn(t *testing.T) {
	set := setOf(t, injector("default", "default"))
	for _, row := range []struct {
		annotations map[string]string
		warns       bool
	}{
		{map[string]string{"k8s.v1.cni.cncf.io/networks": "net1"}, true},
		{map[string]string{"k8s.v1.cni.cncf.io/networks": " "}, false},
		{map[string]string{"k8s.v1.cni.cncf.io/networks": "net1", "traffic.sidecar.istio.io/excludeInterfaces": "net1"}, false},
		{map[string]string{"k8s.v1.cni.cncf.io/networks": "net1", "sidecar.istio.io/interceptionMode": "NONE"}, false},
	} {
		if result := injectAnnotated(set, row.annotations); len(result.Warnings) > 0 != row.warns {
			t.Errorf("%v: warnings %q", row.annotations, result.Warnings)
		}
	}
}
