package inject

import (
	"testing"

	"github.com/pillion-mesh/pillion/internal/inject/rawjson"
)

// assemblyOf is a pod's containers on their way, with the least of a sidecar.
func assemblyOf(t testing.TB, pod string) *assembly {
	t.Helper()
	root, err := rawjson.Parse(pod)
	proxy, errProxy := rawjson.Parse(`{"name":"istio-proxy","args":["agent"],"env":[{"name":"A","value":"a"}]}`)
	if err != nil || errProxy != nil {
		t.Fatal(err, errProxy)
	}
	p := viewPod(root)
	return &assembly{
		vars:     &vars{pod: p, settings: &settings{statusPort: 15020, rewriteProbes: true, mergePrometheus: true, native: true}},
		metadata: p.metadata,
		user:     containerLists{init: p.initContainers(), main: p.containers()},
		rendered: containerLists{main: []*rawjson.Value{proxy}},
	}
}

const oneProbe = `{"metadata":{"annotations":{"prometheus.io/port":"8080"}},"spec":{"containers":[{"name":"app","image":"a:1","ports":[{"name":"http","containerPort":9080}],` +
	`"livenessProbe":{"httpGet":{"path":"/health","port":9080,"scheme":"HTTP"},"initialDelaySeconds":10,"timeoutSeconds":1,"periodSeconds":10}}]}}`

func envOf(a *assembly, name string) string {
	return byName(a.rendered.main[0].Get("env").Items(), name).Get("value").Text()
}

// TestScrapeTargets: more pages for the agent, but none that Prometheus reads by itself over mutual TLS.
func TestScrapeTargets(t *testing.T) {
	a := assemblyOf(t, oneProbe)
	a.vars.settings.scrapeTargets, a.vars.settings.securePort = "8081:/m,9000", 8080
	a.mergePrometheus()
	if got := envOf(a, "PILLION_SCRAPE_TARGETS"); got != "8081:/m,9000" {
		t.Errorf("the agent is to read %q too", got)
	}
	if got := envOf(a, "ISTIO_PROMETHEUS_ANNOTATIONS"); got != `{"scrape":"false","port":"8080"}` {
		t.Errorf("the agent reads %s, which Prometheus does", got)
	}
}

// TestNoStatusPort: an agent that serves nothing isn't asked.
func TestNoStatusPort(t *testing.T) {
	a := assemblyOf(t, oneProbe)
	a.vars.settings.statusPort = 0
	user, proxy := a.user.main[0], a.rendered.main[0]
	a.rewriteProbes()
	a.mergePrometheus()
	if a.user.main[0] != user || a.rendered.main[0] != proxy || a.metadata != a.vars.pod.metadata {
		t.Error("without a status port probes or metrics are changed")
	}
}

func BenchmarkRewriteProbes(b *testing.B) {
	a := assemblyOf(b, oneProbe)
	user, rendered := a.user, a.rendered
	b.ReportAllocs()
	for b.Loop() {
		a.user, a.rendered, a.vars.settings.warnings = user, rendered, nil
		a.rewriteProbes()
	}
}

func BenchmarkMergePrometheus(b *testing.B) {
	a := assemblyOf(b, oneProbe)
	metadata, rendered := a.metadata, a.rendered
	b.ReportAllocs()
	for b.Loop() {
		a.metadata, a.rendered, a.vars.settings.warnings = metadata, rendered, nil
		a.mergePrometheus()
	}
}

// TestAListIsNotChangedInPlace: the lists are the pod's own, which is compared with afterwards.
func TestAListIsNotChangedInPlace(t *testing.T) {
	a := assemblyOf(t, oneProbe)
	before := a.vars.pod.root.String()
	user, rendered := a.user.main[0], a.rendered.main[0]
	a.rewriteProbes()
	a.mergePrometheus()
	if a.vars.pod.containers()[0] != user || a.vars.pod.root.String() != before || a.user.main[0] == user || a.rendered.main[0] == rendered {
		t.Error("the pod as it came is another one now")
	}
}

// TestUntouchedContainersAreTheSame: one without probes costs nothing and changes nothing.
func TestUntouchedContainersAreTheSame(t *testing.T) {
	a := assemblyOf(t, `{"spec":{"containers":[{"name":"a"},{"name":"b","livenessProbe":{"exec":{}}},{"name":"c","livenessProbe":{"tcpSocket":{"port":1}}}]}}`)
	before := a.vars.pod.containers()
	a.rewriteProbes()
	if now := a.user.main; now[0] != before[0] || now[1] != before[1] || now[2] == before[2] {
		t.Errorf("of a, b, c not only c changed: %s", rawjson.NewList(now...).String())
	}
}

// FuzzRewriteProbes: no probe makes us panic, what the agent gets is JSON, and rewritten probes aren't rewritten.
func FuzzRewriteProbes(f *testing.F) {
	f.Add(`{"name":"a","livenessProbe":{"httpGet":{"port":"x"}},"ports":[{"name":"x","containerPort":1}]}`)
	f.Add(`{"name":"a","readinessProbe":{"grpc":{"port":1,"service":"$(X)"},"timeoutSeconds":1e9},"lifecycle":{"preStop":{"tcpSocket":{"port":2}}}}`)
	f.Add(`{"name":"a","livenessProbe":{"tcpSocket":{"port":true}},"startupProbe":null,"lifecycle":[],"ports":{"name":1}}`)
	f.Add(`{"name":"a","livenessProbe":{"httpGet":{"port":1},"httpGet":{"port":2}}}`)
	f.Fuzz(func(t *testing.T, container string) {
		c, err := rawjson.Parse(container)
		if err != nil || c.Kind() != rawjson.Object {
			return
		}
		a := assemblyOf(t, `{"spec":{"containers":[]}}`)
		a.user.main = []*rawjson.Value{c}
		a.rewriteProbes()
		if text := envOf(a, envProbers.name); text != "" {
			if object, err := rawjson.Parse(text); err != nil || object.Kind() != rawjson.Object {
				t.Errorf("the agent gets %s: %v", text, err)
			}
		}
		once := a.user.main[0]
		a.rewriteProbes()
		if a.user.main[0] != once {
			t.Errorf("rewritten twice: %s", a.user.main[0].String())
		}
	})
}
