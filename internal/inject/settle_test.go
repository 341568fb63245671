package inject_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

// TestOwnSidecarIsSettled: what a user says of our container and what they left to us make a container that the API
// server takes.
func TestOwnSidecarIsSettled(t *testing.T) {
	set := setOf(t, injector("default", "default"))
	for _, c := range []struct{ name, own, field, want, warning string }{
		{"limit below our request", `"resources":{"limits":{"memory":"32Mi"}}`, "resources",
			`{"limits":{"cpu":"2","memory":"32Mi"},"requests":{"cpu":"50m","memory":"32Mi"}}`, "the request is lowered"},
		{"request above our limit", `"resources":{"requests":{"cpu":"4"}}`, "resources",
			`{"limits":{"cpu":"4","memory":"512Mi"},"requests":{"cpu":"4","memory":"64Mi"}}`, "the limit is raised"},
		{"both their own", `"resources":{"requests":{"cpu":"4"},"limits":{"cpu":"3"}}`, "resources",
			`{"limits":{"cpu":"3","memory":"512Mi"},"requests":{"cpu":"4","memory":"64Mi"}}`, ""},
		{"root", `"securityContext":{"runAsUser":0}`, "securityContext.runAsNonRoot", `null`, ""},
		{"root that says no root", `"securityContext":{"runAsUser":0,"runAsNonRoot":true}`, "securityContext.runAsNonRoot", `true`, ""},
		{"another user", `"securityContext":{"runAsUser":7}`, "securityContext.runAsNonRoot", `true`, ""},
		{"privileged", `"securityContext":{"privileged":true}`, "securityContext.allowPrivilegeEscalation", `null`, ""},
		{"SYS_ADMIN", `"securityContext":{"capabilities":{"add":["SYS_ADMIN"]}}`, "securityContext.allowPrivilegeEscalation", `null`, ""},
		{"another capability", `"securityContext":{"capabilities":{"add":["NET_RAW"]}}`, "securityContext.allowPrivilegeEscalation", `false`, ""},
		{"another probe", `"readinessProbe":{"tcpSocket":{"port":1}}`, "readinessProbe.httpGet", `null`, ""},
		{"our port's name", `"ports":[{"name":"http-envoy-prom","containerPort":9999}]`, "ports",
			`[{"containerPort":15090,"protocol":"TCP"},{"containerPort":9999,"name":"http-envoy-prom"}]`, "the sidecar's has none"},
	} {
		pod := fmt.Sprintf(`{"metadata":{"name":"a"},"spec":{"containers":[{"name":"app"},{"name":"istio-proxy","image":"auto",%s}]}}`, c.own)
		for _, native := range []bool{false, true} {
			result := injectTypical(set, pod, native)
			var got object
			if err := json.Unmarshal(result.Pod(), &got); err != nil {
				t.Fatalf("%s: %v: %s", c.name, err, result.Message())
			}
			if field := fieldOf(ours(got, "istio-proxy"), c.field); field != c.want {
				t.Errorf("%s: %s is %s, want %s", c.name, c.field, field, c.want)
			}
			if warnings := strings.Join(result.Warnings, "\n"); !strings.Contains(warnings, c.warning) || c.warning == "" && warnings != "" {
				t.Errorf("%s: warnings %q, want %q", c.name, warnings, c.warning)
			}
			if again := injectTypical(set, string(result.Pod()), native); again.Patch != nil {
				t.Errorf("%s: injecting our own output gives %s", c.name, again.Patch)
			}
		}
	}
}

// fieldOf is the JSON of a field, whose path has dots.
func fieldOf(v any, path string) string {
	for _, key := range strings.Split(path, ".") {
		o, _ := v.(object)
		v = o[key]
	}
	text, _ := json.Marshal(v)
	return string(text)
}

// TestOwnNativeSidecarInAClassicPod: only init containers may restart always.
func TestOwnNativeSidecarInAClassicPod(t *testing.T) {
	set := setOf(t, injector("default", "default"))
	pod := `{"apiVersion":"v1","kind":"Pod","metadata":{"name":"a"},"spec":{"initContainers":[{"name":"istio-proxy","image":"own:1","restartPolicy":"Always"}],"containers":[{"name":"app"}]}}`
	for native, want := range map[bool]string{false: `null`, true: `"Always"`} {
		result := injectTypical(set, pod, native)
		var got object
		if err := json.Unmarshal(result.Pod(), &got); err != nil {
			t.Fatal(err, result.Message())
		}
		if field := fieldOf(ours(got, "istio-proxy"), "restartPolicy"); field != want {
			t.Errorf("native %v: restartPolicy is %s, want %s", native, field, want)
		}
		if warned := strings.Contains(strings.Join(result.Warnings, "\n"), "restartPolicy"); warned == native {
			t.Errorf("native %v: warnings %q", native, result.Warnings)
		}
		if back := plain(t, uninjected(t, result.Pod()).JSON); back != plain(t, []byte(pod)) {
			t.Errorf("native %v: taken out it is\n%s, want\n%s", native, back, pod)
		}
	}
}
