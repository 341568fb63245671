package inject_test

import (
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/pillion-mesh/pillion/internal/inject"
)

// FuzzAnnotations: no value of any annotation changes the structure of an injected pod: the same containers, with as
// many arguments and variables as without it, or a denial.
func FuzzAnnotations(f *testing.F) {
	for _, row := range values {
		f.Add(row.key, row.value)
	}
	f.Add("traffic.sidecar.istio.io/excludeInboundPorts", `22","--evil`)
	f.Add("sidecar.istio.io/proxyImage", "${mesh.id}")
	set := setOf(f, injector("default", "default"))
	plain := injectAnnotated(set, nil)
	f.Add("sidecar.istio.io/userVolume", `{"a":{"emptyDir":{}}}`)
	f.Fuzz(func(t *testing.T, key, value string) {
		annotations := map[string]string{key: value}
		if key == "" { // all at once
			for _, a := range inject.Annotations() {
				if !a.Label && a.Group != inject.GroupWritten {
					annotations[a.Key] = value
				}
			}
		}
		result := injectAnnotated(set, annotations)
		if result.Outcome != inject.OutcomeInject {
			if result.Pod() != nil || result.Patch != nil {
				t.Fatal("a patch without an injection")
			}
			return
		}
		sameStructure(t, key, value, podOf(t, &result), podOf(t, &plain))
	})
}

// bootstrap adds a variable, a volume and its mount.
const bootstrap = "sidecar.istio.io/bootstrapOverride"

// sameStructure: but for what an annotation is there to add, a pod is built as without it.
func sameStructure(t *testing.T, key, value string, pod, want *corev1.Pod) {
	t.Helper()
	adds := func(keys ...string) bool { return key == "" || slices.Contains(keys, key) }
	for _, list := range [][2][]corev1.Container{{pod.Spec.Containers, want.Spec.Containers}, {pod.Spec.InitContainers, want.Spec.InitContainers}} {
		for _, c := range list[0] {
			for _, w := range list[1] {
				if c.Name != w.Name {
					continue
				}
				if !sameFlags(c.Args, w.Args) || !adds(bootstrap, "proxy.istio.io/config", "status.sidecar.istio.io/port", "prometheus.istio.io/scrape-targets", "prometheus.istio.io/secure-port") && len(c.Env) != len(w.Env) {
					t.Fatalf("%q = %q changes container %s: %v %v", key, value, c.Name, c.Args, c.Env)
				}
				if len(c.VolumeMounts) != len(w.VolumeMounts) && !adds(bootstrap, "sidecar.istio.io/userVolumeMount") {
					t.Fatalf("%q = %q changes the mounts of %s: %v", key, value, c.Name, c.VolumeMounts)
				}
			}
		}
	}
	if n := len(pod.Spec.Containers) + len(pod.Spec.InitContainers); n > 3 || len(pod.Spec.Volumes) != len(want.Spec.Volumes) && !adds(bootstrap, "sidecar.istio.io/userVolume") {
		t.Fatalf("%q = %q: %d containers, %d volumes", key, value, n, len(pod.Spec.Volumes))
	}
}

// mayAdd are the flags that annotations add: those of capture have a value of their own.
var mayAdd = []string{"-q", "-o", "-c", "-k", "-g", "--exclude-outbound-uids", "--exclude-inbound-ip-ranges", "--backend", "--ip-families"}

// sameFlags allows the flags that annotations add.
func sameFlags(got, want []string) bool {
	rest := slices.DeleteFunc(slices.Clone(got), func(arg string) bool {
		return strings.HasPrefix(arg, "--proxyComponentLogLevel=") || strings.HasPrefix(arg, "--concurrency=")
	})
	for i := len(want); i+1 < len(rest); i += 2 {
		if !slices.Contains(mayAdd, rest[i]) || strings.ContainsAny(rest[i+1], " \n\"") {
			return false
		}
	}
	return len(rest) >= len(want) && (len(rest)-len(want))%2 == 0
}
