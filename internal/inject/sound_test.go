package inject_test

import (
	"strings"
	"testing"

	"github.com/pillion-mesh/pillion/internal/inject"
)

// TestUnsoundTemplates: what templates make of each other is looked at before a pod is.
func TestUnsoundTemplates(t *testing.T) {
	for _, c := range []struct{ name, template, want string }{
		{"another handler", `spec: {containers: [{name: istio-proxy, readinessProbe: {exec: {command: [a]}}}]}`, ""},
		{"another source", `spec: {volumes: [{name: istio-data, hostPath: {path: /x}}]}`, ""},
		{"two handlers", `spec: {containers: [{name: istio-proxy, livenessProbe: {exec: {command: [a]}, grpc: {port: 1}}}]}`, "livenessProbe has 2 handlers"},
		{"no handler", `spec: {containers: [{name: istio-proxy, livenessProbe: {periodSeconds: 1}}]}`, "livenessProbe has 0 handlers"},
		{"two in a hook", `spec: {containers: [{name: istio-proxy, lifecycle: {preStop: {exec: {command: [a]}, sleep: {seconds: 1}}}}]}`, "preStop has 2 handlers"},
		{"two sources", `spec: {volumes: [{name: x, emptyDir: {}, hostPath: {path: /x}}]}`, `volume "x" has 2 sources`},
		{"two ports of a name", `spec: {containers: [{name: istio-proxy, ports: [{name: http-envoy-prom, containerPort: 1}]}]}`, `two ports have the name "http-envoy-prom"`},
		{"request above limit", `spec: {containers: [{name: istio-proxy, resources: {requests: {memory: 8Gi}}}]}`, "memory request 8Gi is above its limit 512Mi"},
	} {
		made := injector("default", "default", withTemplate(c.template))
		_, err := inject.Compile(&made, operator())
		switch {
		case c.want == "" && err != nil:
			t.Errorf("%s: %v", c.name, err)
		case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
			t.Errorf("%s: %v; want an error that says %q", c.name, err, c.want)
		}
	}
}
