package inject_test

import (
	"fmt"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/pillion-mesh/pillion/api/v1alpha1"
	"github.com/pillion-mesh/pillion/internal/inject"
)

// probedPod has one container, named app, with these fields.
func probedPod(fields string) string {
	return `{"apiVersion":"v1","kind":"Pod","metadata":{"name":"web"},"spec":{"containers":[{"name":"app","image":"web:1",` +
		`"ports":[{"name":"web","containerPort":8080},{"name":"dns","containerPort":53,"protocol":"UDP"}],` + fields + `}]}}`
}

func injectPod(t testing.TB, set *inject.Set, pod string, native bool) (inject.Result, *corev1.Pod) {
	t.Helper()
	result := injectTypical(set, pod, native)
	if result.Outcome != inject.OutcomeInject {
		t.Fatalf("%s: %s", result.Outcome, result.Message())
	}
	return result, podOf(t, &result)
}

// proxyEnv is a variable of the proxy, wherever that runs.
func proxyEnv(pod *corev1.Pod, name string) string {
	for _, c := range append(pod.Spec.Containers, pod.Spec.InitContainers...) {
		for _, e := range c.Env {
			if c.Name == "istio-proxy" && e.Name == name {
				return e.Value
			}
		}
	}
	return ""
}

func container(t testing.TB, pod *corev1.Pod, name string) corev1.Container {
	t.Helper()
	for _, c := range append(pod.Spec.Containers, pod.Spec.InitContainers...) {
		if c.Name == name {
			return c
		}
	}
	t.Fatalf("the pod has no container %q", name)
	return corev1.Container{}
}

var probePlaces = []struct{ fields, path, time string }{
	{`"livenessProbe":%s`, "/app-health/app/livez", `,"timeoutSeconds":1`},
	{`"readinessProbe":%s`, "/app-health/app/readyz", `,"timeoutSeconds":1`},
	{`"startupProbe":%s`, "/app-health/app/startupz", `,"timeoutSeconds":1`},
	{`"lifecycle":{"preStop":%s}`, "/app-lifecycle/app/prestopz", ""},
	{`"lifecycle":{"postStart":%s}`, "/app-lifecycle/app/poststartz", ""},
}

// TestProbesLeadToTheAgent: every kind of probe, everywhere it can be, by number and by name.
func TestProbesLeadToTheAgent(t *testing.T) {
	set := setOf(t, injector("default", "default"))
	for _, place := range probePlaces {
		for _, row := range []struct{ probe, kept string }{
			{`{"httpGet":{"path":"/x","port":8080}}`, `{"httpGet":{"path":"/x","port":8080}`},
			{`{"httpGet":{"port":"web","host":"h","scheme":"HTTPS","httpHeaders":[{"name":"a","value":"b"}]}}`,
				`{"httpGet":{"host":"h","httpHeaders":[{"name":"a","value":"b"}],"port":8080,"scheme":"HTTPS"}`},
			{`{"tcpSocket":{"port":65535},"httpGet":null}`, `{"tcpSocket":{"port":65535}`},
			{`{"tcpSocket":{"port":"dns"}}`, `{"tcpSocket":{"port":53}`},
			{`{"grpc":{"port":9000,"service":"s"}}`, `{"grpc":{"port":9000,"service":"s"}`},
			{`{"grpc":{"port":9000}}`, `{"grpc":{"port":9000}`},
		} {
			_, pod := injectPod(t, set, probedPod(fmt.Sprintf(place.fields, row.probe)), true)
			want := fmt.Sprintf(`{"%s":%s%s}}`, place.path, row.kept, place.time)
			if got := proxyEnv(pod, "ISTIO_KUBE_APP_PROBERS"); got != want {
				t.Errorf("%s %s: the agent is told\n%s, want\n%s", place.path, row.probe, got, want)
			}
			want = fmt.Sprintf(place.fields, `{"httpGet":{"path":"`+place.path+`","port":15020,"scheme":"HTTP"}}`)
			if got := mustJSON(container(t, pod, "app")); !strings.Contains(got, want) {
				t.Errorf("%s %s: the container is\n%s, want in it\n%s", place.path, row.probe, got, want)
			}
		}
	}
}

// TestProbeKeepsItsOtherFields: only who is asked changes.
func TestProbeKeepsItsOtherFields(t *testing.T) {
	const rest = `"initialDelaySeconds":3,"timeoutSeconds":7,"periodSeconds":5,"terminationGracePeriodSeconds":9,"future":[1]`
	result := injectTypical(setOf(t, injector("default", "default")), probedPod(`"livenessProbe":{"tcpSocket":{"port":80},`+rest+`}`), false)
	for _, want := range []string{
		`"livenessProbe":{"httpGet":{"path":"/app-health/app/livez","port":15020,"scheme":"HTTP"},` + rest + `}`,
		`{\"/app-health/app/livez\":{\"tcpSocket\":{\"port\":80},\"timeoutSeconds\":7}}`,
	} {
		if !strings.Contains(string(result.Pod()), want) {
			t.Errorf("the pod is\n%s, want in it\n%s", result.Pod(), want)
		}
	}
}

// TestProbesThatStay: what runs in the container, is broken, or is the sidecar's own already.
func TestProbesThatStay(t *testing.T) {
	set := setOf(t, injector("default", "default"))
	for _, row := range []struct{ probe, warns string }{
		{`{"exec":{"command":["true"]}}`, ""},
		{`{"sleep":{"seconds":3}}`, ""},
		{`{"httpGet":{"path":"/app-health/app/livez","port":15020,"scheme":"HTTP"}}`, ""},
		{`{"httpGet":{"path":"/healthz/ready","port":15021}}`, ""},
		{`{"httpGet":{"port":8080},"tcpSocket":{"port":8080}}`, ""},
		{`{"httpGet":{"port":8080},"exec":{}}`, ""},
		{`{"httpGet":[]}`, ""},
		{`{"future":{"port":8080}}`, ""},
		{`{}`, ""},
		{`[]`, ""},
		{`{"httpGet":{"port":"none"}}`, `is not led to the sidecar: it has no port "none"`},
		{`{"httpGet":{"port":"odd"}}`, "it has no port from 1 to 65535"},
		{`{"httpGet":{}}`, "it has no port from 1 to 65535"},
		{`{"httpGet":{"port":true}}`, "it has no port from 1 to 65535"},
		{`{"tcpSocket":{"port":0}}`, "it has no port from 1 to 65535"},
		{`{"grpc":{"port":65536}}`, "it has no port from 1 to 65535"},
		{`{"grpc":{"port":1e4}}`, "it has no port from 1 to 65535"},
		{`{"grpc":{"port":99999999999999999999}}`, "it has no port from 1 to 65535"},
	} {
		for _, place := range probePlaces {
			fields := fmt.Sprintf(place.fields, row.probe)
			result := injectTypical(set, strings.Replace(probedPod(fields), `"ports":[`, `"ports":[{"name":"odd","containerPort":"80"},`, 1), true)
			text := string(result.Pod())
			if !strings.Contains(text, fields) || strings.Contains(text, "ISTIO_KUBE_APP_PROBERS") {
				t.Errorf("%s doesn't stay as it is:\n%s", fields, text)
			}
			if got := strings.Join(result.Warnings, "; "); !strings.Contains(got, row.warns) || row.warns == "" && got != "" {
				t.Errorf("%s: warnings %q, want %q", fields, got, row.warns)
			}
		}
	}
}

// TestProbesOff: settings, and pods without an agent that could answer.
func TestProbesOff(t *testing.T) {
	const fields = `"livenessProbe":{"httpGet":{"port":8080}}`
	off := func(s *v1alpha1.InjectorSpec) { s.Probes.Rewrite = new(false) }
	other := func(s *v1alpha1.InjectorSpec) {
		s.Templates = []v1alpha1.Template{{Name: "own", Inline: "spec: {containers: [{name: istio-proxy, image: x, args: [proxy]}]}"}}
		s.DefaultTemplates = []string{"own"}
	}
	pod := probedPod(fields)
	for name, row := range map[string]struct {
		edit func(*v1alpha1.InjectorSpec)
		pod  string
	}{
		"Injector":    {off, pod},
		"template":    {other, pod},
		"annotation":  {func(*v1alpha1.InjectorSpec) {}, strings.Replace(pod, `"name":"web"`, `"annotations":{"sidecar.istio.io/rewriteAppHTTPProbers":"false"}`, 1)},
		"status port": {func(*v1alpha1.InjectorSpec) {}, strings.Replace(pod, `"name":"web"`, `"annotations":{"status.sidecar.istio.io/port":"0"}`, 1)},
	} {
		result := injectTypical(setOf(t, injector("default", "default", row.edit)), row.pod, false)
		if text := string(result.Pod()); !strings.Contains(text, fields) || strings.Contains(text, "ISTIO_KUBE_APP_PROBERS") {
			t.Errorf("off by %s, yet:\n%s", name, text)
		}
	}
}

// TestProbesOfSidecars: the user's own sidecars among the init containers too, but nothing that the pod's start waits
// for, or a kubelet ends a container for, before the proxy is there.
func TestProbesOfSidecars(t *testing.T) {
	set := setOf(t, injector("default", "default"))
	pod := strings.Replace(probedPod(`"stdin":false`), `"containers":`, `"initContainers":[{"name":"helper","image":"h:1","restartPolicy":"Always",`+
		`"livenessProbe":{"grpc":{"port":1}},"readinessProbe":{"tcpSocket":{"port":4}},"startupProbe":{"tcpSocket":{"port":2}},"lifecycle":{"postStart":{"httpGet":{"port":3}}}}],"containers":`, 1)
	result, native := injectPod(t, set, pod, true)
	want := `{"/app-health/helper/livez":{"grpc":{"port":1},"timeoutSeconds":1},"/app-health/helper/readyz":{"tcpSocket":{"port":4},"timeoutSeconds":1},"/app-health/helper/startupz":{"tcpSocket":{"port":2},"timeoutSeconds":1},` +
		`"/app-lifecycle/helper/poststartz":{"httpGet":{"port":3}}}`
	if got := proxyEnv(native, "ISTIO_KUBE_APP_PROBERS"); got != want || len(result.Warnings) > 0 {
		t.Errorf("native: %s (warnings %q), want\n%s", got, result.Warnings, want)
	}
	result, classic := injectPod(t, set, pod, false)
	want = `{"/app-health/helper/readyz":{"tcpSocket":{"port":4},"timeoutSeconds":1}}`
	if got := proxyEnv(classic, "ISTIO_KUBE_APP_PROBERS"); got != want || len(result.Warnings) != 3 {
		t.Errorf("classic: %s (warnings %q), want 3 warnings and\n%s", got, result.Warnings, want)
	}
	if got := strings.Join(result.Warnings, "\n"); strings.Count(got, `"helper": livenessProbe is not led to the sidecar: the sidecar starts later`) != 1 {
		t.Errorf("classic: warnings\n%s", got)
	}
	if c := container(t, classic, "helper"); c.LivenessProbe.GRPC == nil {
		t.Errorf("classic: kubelets would end the container before the sidecar is there: %s", mustJSON(c))
	}
	if c := container(t, classic, "helper"); c.StartupProbe.TCPSocket == nil || c.Lifecycle.PostStart.HTTPGet.Port.IntValue() != 3 {
		t.Errorf("classic: the pod would wait for ever: %s", mustJSON(c))
	}
}

// TestPostStartBeforeTheProxy: Kubernetes starts a classic sidecar after the application, unless it's held.
func TestPostStartBeforeTheProxy(t *testing.T) {
	pod := probedPod(`"lifecycle":{"postStart":{"httpGet":{"port":8080}}}`)
	hold := func(s *v1alpha1.InjectorSpec) { s.Proxy.HoldApplication = true }
	for _, row := range []struct {
		edit   func(*v1alpha1.InjectorSpec)
		native bool
		want   int
	}{{func(*v1alpha1.InjectorSpec) {}, false, 1}, {func(*v1alpha1.InjectorSpec) {}, true, 0}, {hold, false, 0}} {
		result := injectTypical(setOf(t, injector("default", "default", row.edit)), pod, row.native)
		if got := result.Warnings; len(got) != row.want {
			t.Errorf("native %v: warnings %q, want %d", row.native, got, row.want)
		}
	}
}

// TestOwnProbersGiveWay: the map has to fit the probes we rewrote.
func TestOwnProbersGiveWay(t *testing.T) {
	pod := strings.Replace(probedPod(`"livenessProbe":{"httpGet":{"port":8080}}`), `"containers":[`,
		`"containers":[{"name":"istio-proxy","image":"auto","env":[{"name":"ISTIO_KUBE_APP_PROBERS","value":"{}"}],"readinessProbe":{"httpGet":{"port":7000}}},`, 1)
	result, injected := injectPod(t, setOf(t, injector("default", "default")), pod, false)
	if got := proxyEnv(injected, "ISTIO_KUBE_APP_PROBERS"); !strings.Contains(got, "8080") || strings.Contains(got, "7000") {
		t.Errorf("the agent is told %s, want the application's probe and not the proxy's", got)
	}
	if got := strings.Join(result.Warnings, "; "); !strings.Contains(got, "ISTIO_KUBE_APP_PROBERS") {
		t.Errorf("warnings %q don't name the variable", got)
	}
	if got := container(t, injected, "istio-proxy").ReadinessProbe.HTTPGet.Port.IntValue(); got != 7000 {
		t.Errorf("the proxy's own probe asks port %d, want the user's 7000", got)
	}
}

// TestHostileContainers: names from files that no API server takes, one name in both lists, and text without end.
func TestHostileContainers(t *testing.T) {
	set := setOf(t, injector("default", "default"))
	probe := `"livenessProbe":{"httpGet":{"port":8080}}`
	for _, name := range []string{"../x", "a/livez", "A", "a\"b", "-a", "a-", "a_b", strings.Repeat("a", 64), "a%2fb", "ä"} {
		result := injectTypical(set, strings.Replace(probedPod(probe), `"name":"app"`, `"name":`+mustJSON(name), 1), true)
		if text := string(result.Pod()); !strings.Contains(text, probe) || strings.Contains(text, "/app-health/") || len(result.Warnings) != 1 {
			t.Errorf("container %q: warnings %q, pod\n%s", name, result.Warnings, text)
		}
	}
	both := strings.Replace(probedPod(probe), `"containers":`, `"initContainers":[{"name":"app","restartPolicy":"Always","livenessProbe":{"tcpSocket":{"port":1}}}],"containers":`, 1)
	if result := injectTypical(set, both, true); result.Reason() != inject.ReasonBodyInvalid {
		t.Errorf("two of one name: %s: %s", result.Reason(), result.Message())
	}
	long := fmt.Sprintf(`"livenessProbe":{"httpGet":{"port":1,"path":"/%s"}},"readinessProbe":{"tcpSocket":{"port":1}}`, strings.Repeat("$", 64<<10/6))
	result, pod := injectPod(t, set, probedPod(long), true)
	if got := proxyEnv(pod, "ISTIO_KUBE_APP_PROBERS"); len(got) > 64<<10 || !strings.Contains(got, "readyz") || len(result.Warnings) != 1 {
		t.Errorf("a probe of 64 KiB: %d bytes of environment, warnings %q", len(got), result.Warnings)
	}
}

// TestNoReferences: kubelets replace $(NAME) in variables, which probes don't have.
func TestNoReferences(t *testing.T) {
	_, pod := injectPod(t, setOf(t, injector("default", "default")), probedPod(`"livenessProbe":{"httpGet":{"port":1,"path":"/$(POD_NAME)$$"}}`), true)
	if got := proxyEnv(pod, "ISTIO_KUBE_APP_PROBERS"); strings.Contains(got, "$") || !strings.Contains(got, `/\u0024(POD_NAME)\u0024\u0024`) {
		t.Errorf("the kubelet would change %s", got)
	}
}
