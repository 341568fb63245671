package inject_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/pillion-mesh/pillion/api/v1alpha1"
	"github.com/pillion-mesh/pillion/internal/inject"
)

// proxyOf is the sidecar of an injected pod, wherever it stands.
func proxyOf(t testing.TB, result *inject.Result) corev1.Container {
	t.Helper()
	pod := podOf(t, result)
	for _, c := range slices.Concat(pod.Spec.Containers, pod.Spec.InitContainers) {
		if c.Name == "istio-proxy" {
			return c
		}
	}
	t.Fatalf("no istio-proxy: %s", result.Message())
	return corev1.Container{}
}

// captureFlag is what istio-init says for a flag; "-" if it isn't there.
func captureFlag(t testing.TB, result *inject.Result, flag string) string {
	t.Helper()
	for _, c := range podOf(t, result).Spec.InitContainers {
		if at := slices.Index(c.Args, flag); c.Name == "istio-init" && at >= 0 {
			return c.Args[at+1]
		}
	}
	return "-"
}

func envOf(c corev1.Container, name string) string {
	for _, e := range c.Env {
		if e.Name == name {
			return e.Value
		}
	}
	return "-"
}

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

// TestPrecedence: built in, Injector, ProxyConfig, annotation, the pod's own container.
func TestPrecedence(t *testing.T) {
	plain := setOf(t, injector("default", "default"))
	set := setOf(t, injector("default", "default", func(s *v1alpha1.InjectorSpec) {
		s.Proxy.StatusPort = 15101
		s.Proxy.Env = []v1alpha1.EnvVar{{Name: "A", Value: "injector"}, {Name: "B", Value: "$(POD_NAME)"}, {Name: "POD_NAME", Value: "x"}}
	}))
	config := map[string]string{"proxy.istio.io/config": "statusPort: 15102\nproxyMetadata: {A: config}"}
	both := map[string]string{"proxy.istio.io/config": config["proxy.istio.io/config"], "status.sidecar.istio.io/port": "15103"}
	for _, row := range []struct {
		set             *inject.Set
		annotations     map[string]string
		port, a, podEnv string
	}{
		{plain, nil, "-", "-", ""}, {set, nil, "15101", "injector", "x"}, {set, config, "15102", "config", "x"}, {set, both, "15103", "config", "x"},
	} {
		result := injectAnnotated(row.set, row.annotations)
		proxy := proxyOf(t, &result)
		if port, a, name := envOf(proxy, "PILLION_STATUS_PORT"), envOf(proxy, "A"), envOf(proxy, "POD_NAME"); port != row.port || a != row.a || name != row.podEnv {
			t.Errorf("%v: port %s, A=%s, POD_NAME=%s; want %+v", row.annotations, port, a, name, row)
		}
	}
	result := injectAnnotated(set, both)
	if got := envOf(proxyOf(t, &result), "B"); got != "$$(POD_NAME)" {
		t.Errorf("a literal value is %q: the kubelet would put another in", got)
	}
	own := set.Inject(t.Context(), inject.Request{Entry: inject.EntryNamespace, Pod: []byte(`{"metadata":{"annotations":{"sidecar.istio.io/logLevel":"debug"}},
		"spec":{"containers":[{"name":"app"},{"name":"istio-proxy","image":"auto","env":[{"name":"A","value":"own"}],"securityContext":{"runAsGroup":7}}]}}`)})
	if got := envOf(proxyOf(t, &own), "A"); got != "own" || captureFlag(t, &own, "-g") != "7" {
		t.Errorf("the pod's own container has A=%s, capture leaves group %s alone", got, captureFlag(t, &own, "-g"))
	}
}

// TestUsualPods: what is finished for pods that change no setting is what others get that change them to the same.
func TestUsualPods(t *testing.T) {
	const same = `"pillion.dev/allow-proxy-uid":"false","traffic.sidecar.istio.io/excludeInterfaces":"net1"`
	for _, template := range []string{"sidecar", "gateway", "proxyless"} {
		set := setOf(t, injector("default", "default", func(s *v1alpha1.InjectorSpec) {
			s.DefaultTemplates = []string{template}
			s.Proxy.StatusPort, s.Capture.ExcludeInterfaces, s.Proxy.ComponentLogLevel = 15101, "net1", "http:debug"
		}))
		for _, native := range []bool{false, true} {
			inject := func(annotations string) string {
				result := set.Inject(t.Context(), inject.Request{
					Entry: inject.EntryNamespace, Namespace: inject.Namespace{Name: "shop"}, Native: native,
					Pod: []byte(strings.Replace(plainPod, `"annotations":{`, `"annotations":{`+annotations, 1)),
				})
				return mustJSON(podOf(t, &result).Spec)
			}
			if usual, other := inject(""), inject(same+","); usual != other {
				t.Errorf("%s, native %v: usually\n%s\nelse\n%s", template, native, usual, other)
			}
		}
	}
}

func TestNoStatusPort(t *testing.T) {
	result := injectAnnotated(setOf(t, injector("default", "default")), map[string]string{"status.sidecar.istio.io/port": "0"})
	proxy := proxyOf(t, &result)
	if proxy.ReadinessProbe != nil || proxy.StartupProbe != nil || envOf(proxy, "PILLION_STATUS_PORT") != "0" || captureFlag(t, &result, "-d") != "15090,15021" {
		t.Errorf("readiness %v, startup %v, env %s, not captured %s", proxy.ReadinessProbe, proxy.StartupProbe, envOf(proxy, "PILLION_STATUS_PORT"), captureFlag(t, &result, "-d"))
	}
}

// TestProxyConfigWarns: what has no effect is told, what nobody knows too.
func TestProxyConfigWarns(t *testing.T) {
	result := injectAnnotated(setOf(t, injector("default", "default")), map[string]string{
		"proxy.istio.io/config": "tracing: {zipkin: {address: x}}\nconcurency: 1\nwhatever_else: 1\nhold_application_until_proxy_starts: true\n",
	})
	want := []string{
		`proxy.istio.io/config: field "concurency" is unknown and has no effect; did you mean concurrency?`,
		`proxy.istio.io/config: tracing has no effect`,
		`proxy.istio.io/config: field "whateverElse" is unknown and has no effect`,
	}
	if !slices.Equal(result.Warnings, want) {
		t.Errorf("warnings:\n%s\nwant:\n%s", strings.Join(result.Warnings, "\n"), strings.Join(want, "\n"))
	}
	var config map[string]any
	if err := json.Unmarshal([]byte(envOf(proxyOf(t, &result), "PROXY_CONFIG")), &config); err != nil || config["holdApplicationUntilProxyStarts"] != true {
		t.Errorf("PROXY_CONFIG is %v: %v", config, err)
	}
}

// TestAliasesOfYAML: a few lines that would take gigabytes are no ProxyConfig.
func TestAliasesOfYAML(t *testing.T) {
	var bomb strings.Builder
	bomb.WriteString("a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n")
	for i := 1; i < 10; i++ {
		name, last := string(rune('0'+i)), string(rune('0'+i-1))
		bomb.WriteString("a" + name + ": &a" + name + " [" + strings.Repeat("*a"+last+",", 10) + "]\n")
	}
	result := injectAnnotated(setOf(t, injector("default", "default")), map[string]string{"proxy.istio.io/config": bomb.String()})
	if result.Outcome != inject.OutcomeDeny || !strings.Contains(result.Message(), "aliasing") {
		t.Errorf("%s: %s", result.Outcome, result.Message())
	}
}

func TestUserRangeOfTheNamespace(t *testing.T) {
	for _, row := range []struct {
		uidRange, spec string
		injector       int64
		want           int64
		warns          string
	}{
		{"1000740000/10000", `{"containers":[{"name":"app"}]}`, 0, 1000740001, ""},
		{"1000740000-1000749999", `{"containers":[{"name":"app"}]}`, 0, 1000740001, ""},
		{"1000740000/10000", `{"containers":[{"name":"app","securityContext":{"runAsUser":1000740001}},{"name":"b","securityContext":{"runAsUser":1000740002}}]}`, 0, 1000740003, ""},
		{"1000740000/10000", `{"securityContext":{"runAsUser":1000740001},"containers":[{"name":"app"}]}`, 0, 1000740002, ""},
		{"1000740000/10000", `{"containers":[{"name":"app"}]}`, 2000, 2000, ""},
		{"1000740000/1", `{"containers":[{"name":"app"}]}`, 0, 1337, "no user of 1000740000/1 is free; the sidecar's stays 1337"},
		{"many", `{"containers":[{"name":"app"}]}`, 0, 1337, `"many" is no range such as 1000740000/10000; the sidecar's user stays 1337`},
		{"4294967290/10000", `{"containers":[{"name":"app"}]}`, 0, 1337, "is no range"},
	} {
		set := setOf(t, injector("default", "default", func(s *v1alpha1.InjectorSpec) { s.Proxy.UID = row.injector }))
		result := set.Inject(t.Context(), inject.Request{
			Entry: inject.EntryNamespace, Pod: []byte(`{"metadata":{"name":"p"},"spec":` + row.spec + `}`),
			Namespace: inject.Namespace{Name: "shop", Annotations: map[string]string{"openshift.io/sa.scc.uid-range": row.uidRange}},
		})
		context := proxyOf(t, &result).SecurityContext
		flag := captureFlag(t, &result, "-u")
		if *context.RunAsUser != row.want || *context.RunAsGroup != row.want || flag != mustJSON(row.want) {
			t.Errorf("%s %s: user %d, group %d, not captured %s; want %d", row.uidRange, row.spec, *context.RunAsUser, *context.RunAsGroup, flag, row.want)
		}
		if warnings := strings.Join(result.Warnings, "; "); !strings.Contains(warnings, row.warns) || row.warns == "" && warnings != "" {
			t.Errorf("%s: warnings %q", row.uidRange, warnings)
		}
	}
}

func TestOtherNetworksWarn(t *testing.T) {
	set := setOf(t, injector("default", "default"))
	for _, row := range []struct {
		annotations map[string]string
		warns       bool
	}{
		{map[string]string{"k8s.v1.cni.cncf.io/networks": "net1"}, true},
		{map[string]string{"k8s.v1.cni.cncf.io/networks": " "}, false},
		{map[string]string{"k8s.v1.cni.cncf.io/networks": "net1", "traffic.sidecar.istio.io/excludeInterfaces": "net1"}, false},
		{map[string]string{"k8s.v1.cni.cncf.io/networks": "net1", "sidecar.istio.io/interceptionMode": "NONE"}, false},
	} {
		if result := injectAnnotated(set, row.annotations); len(result.Warnings) > 0 != row.warns {
			t.Errorf("%v: warnings %q", row.annotations, result.Warnings)
		}
	}
}

// TestKeysOfOthers: Istio and Prometheus have annotations on pods that are none of ours to judge.
func TestKeysOfOthers(t *testing.T) {
	result := injectAnnotated(setOf(t, injector("default", "default")), map[string]string{
		"istio.io/dataplane-mode": "none", "istio.io/use-waypoint": "w", "networking.istio.io/tunnel": "http",
		"prometheus.io/path": "/m", "ambient.istio.io/redirection": "enabled", "topology.istio.io/subzone": "a",
	})
	if len(result.Warnings) > 0 {
		t.Errorf("warnings: %q", result.Warnings)
	}
	result = injectAnnotated(setOf(t, injector("default", "default")), map[string]string{"istio.io/reroute-virtual-interface": "", "proxy.istio.io/confg": ""})
	if got := strings.Join(result.Warnings, "\n"); strings.Count(got, "did you mean") != 2 {
		t.Errorf("warnings: %s", got)
	}
}

// TestValues: spec.values keep their types in templates, and what doesn't fit is found when the Injector is compiled.
func TestValues(t *testing.T) {
	template := func(inline string) func(*v1alpha1.InjectorSpec) {
		return func(s *v1alpha1.InjectorSpec) {
			s.Values = &runtime.RawExtension{Raw: []byte(`{"team":"payments","grace":7,"on":true,"list":["a","b"],"env":[{"name":"X","value":"1"}]}`)}
			s.Templates = []v1alpha1.Template{{Name: "extra", Inline: inline}}
			s.DefaultTemplates = []string{"sidecar", "extra"}
		}
	}
	set := setOf(t, injector("default", "default", template(`
metadata: {labels: {team: "${values.team}", who: "x-${values.team}-${values.grace}", none: "${values[?'none'].orValue('no')}"}}
spec:
  terminationGracePeriodSeconds: ${values.grace}
  containers: [{name: istio-proxy, env: ["${values.env}"], tty: "${values.on}", command: "${values.list}"}]
`)))
	result := injectAnnotated(set, nil)
	pod := podOf(t, &result)
	if l := pod.Labels; l["team"] != "payments" || l["who"] != "x-payments-7" || l["none"] != "no" || *pod.Spec.TerminationGracePeriodSeconds != 7 {
		t.Errorf("labels %v, grace %d", l, *pod.Spec.TerminationGracePeriodSeconds)
	}
	if c := proxyOf(t, &result); envOf(c, "X") != "1" || !c.TTY || !slices.Equal(c.Command, []string{"a", "b"}) {
		t.Errorf("X=%s, tty %v, command %v", envOf(c, "X"), c.TTY, c.Command)
	}
	for _, row := range []struct{ inline, want string }{
		{"spec: {terminationGracePeriodSeconds: '${values.team}'}", `spec.terminationGracePeriodSeconds wants integer, this is "payments"`},
		{"metadata: {labels: {a: '${values.grace}'}}", "metadata.labels.a wants string, this is 7"},
		{"metadata: {labels: {a: 'x${values.list}'}}", `${values.list} is no text but ["a","b"]`},
		{"metadata: {labels: {a: '${values.nope}'}}", "no such key: nope"},
		{"spec: {containers: [{name: istio-proxy, env: ['${values.list}']}]}", "wants mapping"},
	} {
		inj := injector("default", "default", template(row.inline))
		if _, err := inject.Compile(&inj, operator()); err == nil || !strings.Contains(err.Error(), row.want) {
			t.Errorf("%s: %v", row.inline, err)
		}
	}
}

// TestHashCoversWhatChangesPods: else stale pods would pass for fresh ones.
func TestHashCoversWhatChangesPods(t *testing.T) {
	hash := func(edit func(*v1alpha1.InjectorSpec)) string {
		inj := injector("default", "default", edit)
		p, err := inject.Compile(&inj, operator())
		if err != nil {
			t.Fatal(err)
		}
		return p.Hash()
	}
	seen := map[string]string{hash(func(*v1alpha1.InjectorSpec) {}): "the default"}
	for name, edit := range map[string]func(*v1alpha1.InjectorSpec){
		"proxy":       func(s *v1alpha1.InjectorSpec) { s.Proxy.HoldApplication = true },
		"image":       func(s *v1alpha1.InjectorSpec) { s.Proxy.Image = "x:1" },
		"capture":     func(s *v1alpha1.InjectorSpec) { s.Capture.ExcludeInterfaces = "net1" },
		"probes":      func(s *v1alpha1.InjectorSpec) { s.Probes.Rewrite = new(false) },
		"prometheus":  func(s *v1alpha1.InjectorSpec) { s.Prometheus.Merge = new(false) },
		"values":      func(s *v1alpha1.InjectorSpec) { s.Values = &runtime.RawExtension{Raw: []byte(`{"a":1}`)} },
		"pullSecrets": func(s *v1alpha1.InjectorSpec) { s.ImagePullSecrets = []v1alpha1.PullSecret{{Name: "a"}} },
		"template":    func(s *v1alpha1.InjectorSpec) { s.Templates = []v1alpha1.Template{{Name: "x", Inline: "spec: {}"}} },
		"aliases": func(s *v1alpha1.InjectorSpec) {
			s.Aliases = []v1alpha1.Alias{{Name: "x", Templates: []string{"sidecar"}}}
		},
	} {
		if other, same := seen[hash(edit)]; same {
			t.Errorf("%s: the same hash as %s", name, other)
		}
		seen[hash(edit)] = name
	}
	if n := hash(func(s *v1alpha1.InjectorSpec) { s.NativeSidecar = v1alpha1.NativeAlways }); seen[n] != "the default" {
		t.Error("native mode changes the hash")
	}
}

// TestSidecarsOwnVolumes: the names and paths annotations can't take are those of the built-in template.
func TestSidecarsOwnVolumes(t *testing.T) {
	set := setOf(t, injector("default", "default"))
	plain := injectAnnotated(set, nil)
	for _, volume := range podOf(t, &plain).Spec.Volumes {
		result := injectAnnotated(set, map[string]string{"sidecar.istio.io/userVolume": `{"` + volume.Name + `":{"emptyDir":{}}}`})
		if result.Outcome != inject.OutcomeDeny {
			t.Errorf("another volume %s: %s", volume.Name, result.Outcome)
		}
	}
	for _, mount := range proxyOf(t, &plain).VolumeMounts {
		result := injectAnnotated(set, map[string]string{"sidecar.istio.io/userVolumeMount": `{"data":{"mountPath":"` + mount.MountPath + `"}}`})
		if result.Outcome != inject.OutcomeDeny {
			t.Errorf("another mount at %s: %s", mount.MountPath, result.Outcome)
		}
	}
	result := injectAnnotated(set, map[string]string{
		"sidecar.istio.io/userVolume": `{"x":{"emptyDir":{}}}`, "sidecar.istio.io/userVolumeMount": `{"x":{"mountPath":"/x"},"istio-token":{"mountPath":"/y"}}`,
	})
	if !strings.Contains(podOf(t, &result).Annotations["sidecar.istio.io/status"], `"x"`) {
		t.Errorf("status: %s", podOf(t, &result).Annotations["sidecar.istio.io/status"])
	}
	again := set.Inject(t.Context(), inject.Request{Entry: inject.EntryNamespace, Namespace: inject.Namespace{Name: "shop"}, Pod: result.Pod()})
	if again.Outcome != inject.OutcomeInject || again.Patch != nil {
		t.Errorf("again: %s: %s, patch %s", again.Outcome, again.Message(), again.Patch)
	}
}
