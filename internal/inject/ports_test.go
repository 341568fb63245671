package inject_test

import (
	"slices"
	"testing"
)

// TestDeclaredPortsOfTheSidecar: containers of a pod share its ports, and the log of the one that doesn't start says
// "address in use" without whose.
func TestDeclaredPortsOfTheSidecar(t *testing.T) {
	set := setOf(t, injector("default", "default"))
	const clash = ` of container "app" is one the sidecar listens on: one of them won't start; choose another`
	for _, row := range []struct {
		what, annotations, spec string
		want                    []string
	}{
		{"its own", `{}`, `{"containers":[{"name":"app","ports":[{"containerPort":8080},{"containerPort":15008},{"name":"http","containerPort":15019}]}]}`, nil},
		{"each", `{}`, `{"containers":[{"name":"app","ports":[{"containerPort":15000},{"containerPort":15001},{"containerPort":15006},{"containerPort":15020},{"containerPort":15021},{"containerPort":15090}]}]}`,
			[]string{"port 15000" + clash, "port 15001" + clash, "port 15006" + clash, "port 15020" + clash, "port 15021" + clash, "port 15090" + clash}},
		{"of UDP", `{}`, `{"containers":[{"name":"app","ports":[{"containerPort":15001,"protocol":"UDP"}]}]}`, nil},
		{"of TCP", `{}`, `{"containers":[{"name":"app","ports":[{"containerPort":15001,"protocol":"TCP"}]}]}`, []string{"port 15001" + clash}},
		{"the status port elsewhere", `{"status.sidecar.istio.io/port":"8080"}`, `{"containers":[{"name":"app","ports":[{"containerPort":8080},{"containerPort":15020}]}]}`, []string{"port 8080" + clash}},
		{"no status port", `{"status.sidecar.istio.io/port":"0"}`, `{"containers":[{"name":"app","ports":[{"containerPort":15020},{"containerPort":0}]}]}`, nil},
		{"of a native sidecar", `{}`, `{"containers":[{"name":"b"}],"initContainers":[{"name":"app","restartPolicy":"Always","ports":[{"containerPort":15006}]}]}`, []string{"port 15006" + clash}},
		{"of an init container", `{}`, `{"containers":[{"name":"b"}],"initContainers":[{"name":"app","ports":[{"containerPort":15006}]}]}`, nil},
		{"the name", `{}`, `{"containers":[{"name":"app","ports":[{"name":"http-envoy-prom","containerPort":9999}]}]}`,
			[]string{`port name http-envoy-prom of container "app" is the sidecar's: monitors may read either; choose another`}},
		{"of its own istio-proxy", `{}`, `{"containers":[{"name":"app"},{"name":"istio-proxy","image":"auto","ports":[{"name":"http-envoy-prom","containerPort":15090}]}]}`, nil},
	} {
		result := injectJSON(t, set, `{"metadata":{"annotations":`+row.annotations+`},"spec":`+row.spec+`}`)
		if !slices.Equal(result.Warnings, row.want) {
			t.Errorf("%s:\n got %q\nwant %q", row.what, result.Warnings, row.want)
		}
	}
}
