package inject_test

import (
	"fmt"
	"strings"
	"testing"
)

const manyProbes = `"livenessProbe":{"httpGet":{"httpHeaders":[{"name":"a","value":"b"}],"port":"web","path":"/x","future":{"b":1,"a":2}},"timeoutSeconds":2},` +
	`"readinessProbe":{"grpc":{"service":"s","port":9000}},"startupProbe":{"tcpSocket":{"port":"web"}},` +
	`"lifecycle":{"preStop":{"tcpSocket":{"port":"dns","host":"$(H)"}},"postStart":{"httpGet":{"port":8080}}}`

// TestProbesComeBack: taken out, every probe is what it was, and put in again what it became.
func TestProbesComeBack(t *testing.T) {
	set := setOf(t, injector("default", "default"))
	pods := []string{probedPod(manyProbes)}
	for _, place := range probePlaces {
		for _, probe := range []string{`{"httpGet":{"port":"web"}}`, `{"tcpSocket":{"host":"h","port":1}}`, `{"grpc":{"port":1}}`, `{"exec":{}}`, `{"httpGet":{"port":"none"}}`} {
			pods = append(pods, probedPod(fmt.Sprintf(place.fields, probe)))
		}
	}
	for _, pod := range pods {
		for _, native := range []bool{false, true} {
			result := injectTypical(set, pod, native)
			if got := plain(t, uninjected(t, result.Pod()).JSON); got != plain(t, []byte(pod)) {
				t.Errorf("taken out of\n%s\nit is\n%s", pod, got)
			}
			if again := injectTypical(set, string(result.Pod()), native); again.Patch != nil {
				t.Errorf("injecting our own output gives %s", again.Patch)
			}
		}
	}
}

// TestLateProbes: a container that another webhook added after us gets its probes rewritten, and nothing else changes but
// what the agent is told.
func TestLateProbes(t *testing.T) {
	set := setOf(t, injector("default", "default"))
	for _, native := range []bool{false, true} {
		first := injectTypical(set, probedPod(manyProbes), native)
		added := strings.Replace(string(first.Pod()), `"containers":[`, `"containers":[{"name":"late","image":"late:1","livenessProbe":{"tcpSocket":{"port":7}}},`, 1)
		again, pod := injectPod(t, set, added, native)
		checkPatch(t, []byte(added), &again)
		env := proxyEnv(pod, "ISTIO_KUBE_APP_PROBERS")
		if !strings.Contains(env, "/app-health/late/livez") || strings.Count(env, "/app-") != 6 {
			t.Errorf("native %v: the agent is told %s", native, env)
		}
		if patch := string(again.Patch); strings.Contains(patch, `"path":"/spec/containers/1/l`) || !strings.Contains(patch, `"path":"/spec/containers/0/livenessProbe`) {
			t.Errorf("native %v: more than the late container changes: %s", native, patch)
		}
		if len(again.Warnings) != len(first.Warnings) {
			t.Errorf("native %v: warnings %q of our own doing", native, again.Warnings)
		}
	}
}

// TestProbeChangedSince: what another webhook made of a probe after us counts.
func TestProbeChangedSince(t *testing.T) {
	set := setOf(t, injector("default", "default"))
	first := injectTypical(set, probedPod(`"livenessProbe":{"httpGet":{"path":"/x","port":8080}}`), true)
	changed := strings.Replace(string(first.Pod()), `"livenessProbe":{"httpGet":{"path":"/app-health/app/livez","port":15020,"scheme":"HTTP"}}`, `"livenessProbe":{"tcpSocket":{"port":99}}`, 1)
	_, pod := injectPod(t, set, changed, true)
	if got := proxyEnv(pod, "ISTIO_KUBE_APP_PROBERS"); got != `{"/app-health/app/livez":{"tcpSocket":{"port":99},"timeoutSeconds":1}}` {
		t.Errorf("the agent is told %s, want the newer probe", got)
	}
}

// TestMetricsComeBack: also those another webhook wrote after us.
func TestMetricsComeBack(t *testing.T) {
	set := setOf(t, injector("default", "default"))
	pod := scrapedPod(map[string]string{"prometheus.io/port": "8080", "prometheus_io_port": "1", "prometheus.io/scheme": "http"})
	result := injectTypical(set, pod, false)
	if got := plain(t, uninjected(t, result.Pod()).JSON); got != plain(t, []byte(pod)) {
		t.Errorf("taken out of\n%s\nit is\n%s", pod, got)
	}
	changed := strings.Replace(string(result.Pod()), `"prometheus.io/port":"15020"`, `"prometheus.io/port":"9999"`, 1)
	_, again := injectPod(t, set, changed, false)
	if got := proxyEnv(again, "ISTIO_PROMETHEUS_ANNOTATIONS"); !strings.Contains(got, `"port":"9999"`) || again.Annotations["prometheus.io/port"] != "15020" {
		t.Errorf("the agent is told %s and Prometheus %v, want the newer port led to the agent", got, again.Annotations)
	}
}
