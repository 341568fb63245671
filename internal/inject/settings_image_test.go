package inject_test

import (
	"strings"
	"testing"

	"github.com/pillion-mesh/pillion/api/v1alpha1"
	"github.com/pillion-mesh/pillion/internal/inject"
)

func TestImages(t *testing.T) {
	digest := "@sha256:" + strings.Repeat("ab", 32)
	const image, kind = "sidecar.istio.io/proxyImage", "sidecar.istio.io/proxyImageType"
	for _, row := range []struct {
		injector    string
		annotations map[string]string
		want, wrong string
	}{
		{"reg.example:5000/a/proxy:1", nil, "reg.example:5000/a/proxy:1", ""},
		{"reg.example:5000/a/proxy" + digest, nil, "reg.example:5000/a/proxy" + digest, ""},
		{"reg.example:5000/a/proxy:1", map[string]string{image: "own"}, "reg.example:5000/a/own:1", ""},
		{"proxy", map[string]string{image: "own"}, "own", ""},
		{"a/proxy:1", map[string]string{image: "own:2"}, "own:2", ""},
		{"a/proxy:1", map[string]string{image: "b/own"}, "b/own", ""},
		{"a/proxy:1", map[string]string{image: "b/own" + digest}, "b/own" + digest, ""},
		{"a/proxy" + digest, map[string]string{image: "own"}, "", "a bare name takes the tag of the Injector's image, and that has a digest"},
		{"a/proxy:1", map[string]string{kind: "debug"}, "a/proxy:1-debug", ""},
		{"a/proxy:1-debug", map[string]string{kind: "debug"}, "a/proxy:1-debug", ""},
		{"a/proxy:1-debug", map[string]string{kind: "default"}, "a/proxy:1", ""},
		{"a/proxy:1", map[string]string{image: "own", kind: "debug"}, "a/own:1-debug", ""},
		{"a/proxy:1", map[string]string{"proxy.istio.io/config": "image: {imageType: debug}"}, "a/proxy:1-debug", ""},
		{"a/proxy:1", map[string]string{"proxy.istio.io/config": "image: {imageType: debug}", kind: "default"}, "a/proxy:1", ""},
		{"a/proxy" + digest, map[string]string{kind: "default"}, "a/proxy" + digest, ""},
		{"a/proxy:1" + digest, map[string]string{kind: "debug"}, "", "has a digest, which is one image of one type; write the image you want in sidecar.istio.io/proxyImage"},
		{"a/proxy", map[string]string{kind: "debug"}, "", "has no tag to change"},
	} {
		set := setOf(t, injector("default", "default", func(s *v1alpha1.InjectorSpec) { s.Proxy.Image = row.injector }))
		result := injectAnnotated(set, row.annotations)
		if row.wrong != "" {
			if result.Outcome != inject.OutcomeDeny || !strings.Contains(result.Message(), row.wrong) {
				t.Errorf("%s %v: %s: %s", row.injector, row.annotations, result.Outcome, result.Message())
			}
			continue
		}
		if got := proxyOf(t, &result).Image; got != row.want {
			t.Errorf("%s %v: %s, want %s", row.injector, row.annotations, got, row.want)
		}
	}
}
