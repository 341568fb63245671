package inject_test

import (
	"maps"
	"strings"
	"testing"

	"github.com/pillion-mesh/pillion/api/v1alpha1"
)

// scrapedPod has these annotations and one container.
func scrapedPod(annotations map[string]string) string {
	return mustJSON(map[string]any{
		"apiVersion": "v1", "kind": "Pod",
		"metadata": map[string]any{"name": "web", "annotations": annotations},
		"spec":     map[string]any{"containers": []any{map[string]any{"name": "app", "image": "web:1"}}},
	})
}

// TestMetricsLeadToTheAgent: Prometheus finds one page, and the agent is told where the application's is.
func TestMetricsLeadToTheAgent(t *testing.T) {
	set := setOf(t, injector("default", "default"))
	for _, row := range []struct {
		annotations map[string]string
		env         string
	}{
		{nil, ""},
		{map[string]string{"prometheus.io/scrape": "true", "prometheus.io/port": "8080", "prometheus.io/path": "/m"}, `{"scrape":"true","path":"/m","port":"8080"}`},
		{map[string]string{"prometheus.io/port": "8080"}, `{"port":"8080"}`},
		{map[string]string{"prometheus_io_port": "1", "prometheus.io_scrape": "true", "prometheus-io/path": "/x"}, `{"scrape":"true","path":"/x","port":"1"}`},
		{map[string]string{"prometheus.io_port": "1", "prometheus.io/port": "2", "prometheus_io.port": "3"}, `{"port":"2"}`},
		{map[string]string{"prometheus_io/port": "1", "prometheus-io/port": "2"}, `{"port":"2"}`},
		{map[string]string{"prometheus.io/scheme": "http", "prometheus.io/scrape": ""}, `{}`},
		{map[string]string{"prometheus.io/path": "/\"$(X)"}, `{"path":"/\"\u0024(X)"}`},
		{map[string]string{"prometheus.io/port": "15020", "prometheus.io/path": "/stats/prometheus"}, `{"scrape":"false","path":"/stats/prometheus","port":"15020"}`},
		{map[string]string{"prometheus.io/Port": "8080", "prometheus.io/ports": "8080", "prometheus.istio.io/port": "8080"}, ""},
	} {
		_, pod := injectPod(t, set, scrapedPod(row.annotations), false)
		if got := proxyEnv(pod, "ISTIO_PROMETHEUS_ANNOTATIONS"); got != row.env {
			t.Errorf("%v: the agent is told %s, want %s", row.annotations, got, row.env)
		}
		got := map[string]string{}
		for key, value := range pod.Annotations {
			if name := strings.NewReplacer(".", "_", "/", "_", "-", "_").Replace(key); strings.HasPrefix(name, "prometheus_io_") && name != "prometheus_io_Port" && name != "prometheus_io_ports" {
				got[key] = value
			}
		}
		want := map[string]string{"prometheus.io/scrape": "true", "prometheus.io/port": "15020", "prometheus.io/path": "/stats/prometheus"}
		if !maps.Equal(got, want) {
			t.Errorf("%v: Prometheus reads %v, want %v", row.annotations, got, want)
		}
	}
}

// TestMetricsThatStay: where the application doesn't want to be scraped, or the agent can't do it.
func TestMetricsThatStay(t *testing.T) {
	as := func(*v1alpha1.InjectorSpec) {}
	for _, row := range []struct {
		edit        func(*v1alpha1.InjectorSpec)
		annotations map[string]string
		warns       string
	}{
		{as, map[string]string{"prometheus.io/scrape": "false", "prometheus.io/port": "8080"}, ""},
		{as, map[string]string{"prometheus_io_scrape": "False"}, ""},
		{as, map[string]string{"prometheus.io/scheme": "https", "prometheus.io/port": "8080"}, "https"},
		{as, map[string]string{"prometheus.io/path": "/" + strings.Repeat("a", 4096)}, "2048 bytes"},
		{func(s *v1alpha1.InjectorSpec) { s.Prometheus.Merge = new(false) }, map[string]string{"prometheus.io/port": "8080"}, ""},
		{as, map[string]string{"prometheus.istio.io/merge-metrics": "false", "prometheus.io/port": "8080"}, ""},
		{as, map[string]string{"status.sidecar.istio.io/port": "0", "prometheus.io/port": "8080"}, ""},
	} {
		result, pod := injectPod(t, setOf(t, injector("default", "default", row.edit)), scrapedPod(row.annotations), false)
		for key, value := range row.annotations {
			if pod.Annotations[key] != value {
				t.Errorf("%v: annotation %s is %q now", row.annotations, key, pod.Annotations[key])
			}
		}
		if _, there := pod.Annotations["prometheus.io/port"]; there && row.annotations["prometheus.io/port"] == "" || proxyEnv(pod, "ISTIO_PROMETHEUS_ANNOTATIONS") != "" {
			t.Errorf("%v: metrics are merged: %v", row.annotations, pod.Annotations)
		}
		if got := strings.Join(result.Warnings, "; "); !strings.Contains(got, row.warns) || row.warns == "" && got != "" {
			t.Errorf("%v: warnings %q, want %q", row.annotations, got, row.warns)
		}
	}
}
