package inject_test

import (
	"testing"
)

// TestBuiltinsAgree: what is the same for every proxy is the same in every template. Each is a file of its own, since
// people read and copy them; a change of one is a change of all.
func TestBuiltinsAgree(t *testing.T) {
	set := setOf(t, injector("default", "default"))
	proxyOf := func(template string) map[string]any {
		result := injectTypical(set, choosing(template), false)
		pod := podOf(t, &result)
		for _, c := range pod.Spec.Containers {
			if c.Name == "istio-proxy" {
				c.Lifecycle = nil
				kept := c.Env[:0]
				for _, e := range c.Env {
					switch e.Name {
					case "ISTIO_META_INTERCEPTION_MODE", "ISTIO_META_GENERATOR", "GRPC_XDS_BOOTSTRAP":
					default:
						kept = append(kept, e)
					}
				}
				c.Env = kept
				return map[string]any{"container": c, "volumes": pod.Spec.Volumes}
			}
		}
		t.Fatalf("%s: no istio-proxy: %s", template, result.Message())
		return nil
	}
	want := mustJSON(proxyOf("sidecar"))
	for _, template := range []string{"gateway", "proxyless"} {
		if got := mustJSON(proxyOf(template)); got != want {
			t.Errorf("%s differs from sidecar:\n%s\nwant\n%s", template, got, want)
		}
	}
}
