package inject_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/pillion-mesh/pillion/internal/inject"
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
				c.Args = slices.DeleteFunc(c.Args, func(arg string) bool {
					return arg == "router" || template == "proxyless" && strings.HasPrefix(arg, "--discoveryAddress=")
				})
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

// TestBuiltinsTakeManyContainers: what ours says of each container of a pod holds for all that a pod may have.
func TestBuiltinsTakeManyContainers(t *testing.T) {
	set := setOf(t, injector("default", "default"))
	const count = 400
	list := make([]string, count)
	for i := range list {
		list[i] = fmt.Sprintf(`{"name":"container-%d"}`, i)
	}
	for _, template := range []string{"sidecar", "gateway", "proxyless"} {
		result := injectTypical(set, `{"metadata":{"name":"p","annotations":{"inject.istio.io/templates":"`+template+`"}},"spec":{"containers":[`+strings.Join(list, ",")+`]}}`, false)
		if result.Outcome != inject.OutcomeInject {
			t.Errorf("%s: %d containers: %s", template, count, result.Message())
			continue
		}
		pod := podOf(t, &result)
		if n := len(pod.Spec.Containers); n != count+1 {
			t.Errorf("%s: %d containers became %d, want one more", template, count, n)
		}
		if last := pod.Spec.Containers[count-1]; template == "proxyless" && envOf(last, "GRPC_XDS_BOOTSTRAP") == "" {
			t.Errorf("%s: container %s doesn't know the bootstrap", template, last.Name)
		}
	}
}

// TestLoopsHaveABound: what a loop gathers is measured now and then, and each item of it at once.
func TestLoopsHaveABound(t *testing.T) {
	for name, expression := range map[string]string{
		"many items":  "[1,2,3].map(a, [1,2,3,4,5,6,7,8,9,10].map(b, [1,2,3,4,5,6,7,8,9,10].map(c, 'aaaaa'" + strings.Repeat(".replace('a', 'aaaaaaaaaa')", 3) + "))).size() > 0 ? 'a' : 'b'",
		"large items": "[1,2,3].map(a, [1,2,3].map(b, 'aaaaaaaaaa'" + strings.Repeat(".replace('a', 'aaaaaaaaaa')", 5) + ")).size() > 0 ? 'a' : 'b'",
	} {
		if _, err := compileWith(inAnnotation(expression)); err == nil || !strings.Contains(err.Error(), "larger than 65536 bytes") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
