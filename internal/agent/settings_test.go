package agent

import (
	"reflect"
	"strings"
	"testing"
	"testing/fstest"
	"time"
)

func TestLoad(t *testing.T) {
	s, ignored, err := Load(
		[]string{"proxy-is-skipped", "sidecar", "--domain", "x.svc.cluster.local", "--proxyLogLevel=error,admin:debug",
			"--proxyComponentLogLevel=misc:error", "--log_output_level=all:debug", "--concurrency", "3", "--colour=red", "--shape", "round", "--profiling", "--log_as_json=false"},
		[]string{"POD_NAMESPACE=shop", "INSTANCE_IP=10.0.0.1", "PILLION_TERMINATION_GRACE=45s", "MINIMUM_DRAIN_DURATION=7",
			"EXIT_ON_ZERO_ACTIVE_CONNECTIONS=false", "PILLION_QUIT_FROM_APP=true", "ENVOY_STATUS_PORT=16021", "ISTIO_CPU_LIMIT=1.5", "COLOUR=red"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	want := defaults()
	want.PodNamespace, want.PodIP = "shop", "10.0.0.1"
	want.TerminationGrace, want.MinimumDrain = 45*time.Second, 7*time.Second
	want.ExitOnZero, want.QuitFromApp, want.ReadyPort, want.Concurrency = false, true, 16021, 3
	want.Role, want.Domain, want.Labels, want.Metadata = "sidecar", "x.svc.cluster.local", map[string]string{}, map[string]any{}
	want.LogLevel, want.ProxyLogLevel, want.LogFormat = "debug", "error", "text"
	if !reflect.DeepEqual(s, want) {
		t.Errorf("got  %+v\nwant %+v", s, want)
	}
	if want := []string{"--colour=red", "--shape"}; !reflect.DeepEqual(ignored, want) {
		t.Errorf("ignored %q, want %q", ignored, want)
	}
}

func TestDefaults(t *testing.T) {
	s, _, err := Load(nil, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	if s.OutboundPort != 15001 || s.InboundPort != 15006 || s.StatusPort != 15020 || s.ReadyPort != 15021 || s.StatsPort != 15090 {
		t.Errorf("ports %+v", s)
	}
	if s.TerminationGrace != 30*time.Second || s.MinimumDrain != 5*time.Second || !s.ExitOnZero || s.QuitFromApp {
		t.Errorf("ways out %+v", s)
	}
	if s.AgentSocket() != "/etc/istio/proxy/run/agent.sock" || s.ProxySocket() != "/etc/istio/proxy/run/proxy.sock" {
		t.Errorf("sockets %s, %s", s.AgentSocket(), s.ProxySocket())
	}
}

// TestIstioLevels: every level that Istio's templates, annotations and docs know keeps the pod starting.
func TestIstioLevels(t *testing.T) {
	for _, flag := range []string{"--proxyLogLevel", "--proxyComponentLogLevel", "--log_output_level"} {
		for _, level := range []string{"trace", "debug", "info", "warning", "warn", "error", "critical", "fatal", "off", "none"} {
			for _, value := range []string{level, "default:" + level, "misc:error," + level, "default:info,ads:" + level} {
				if _, ignored, err := Load([]string{flag + "=" + value, flag, value}, nil, nil); err != nil || len(ignored) != 0 {
					t.Errorf("%s=%s: ignored %q, %v", flag, value, ignored, err)
				}
			}
		}
	}
}

func TestLoadRefuses(t *testing.T) {
	for _, c := range []struct {
		args, env []string
		want      string
	}{
		{nil, []string{"PILLION_TERMINATION_GRACE=soon"}, `PILLION_TERMINATION_GRACE is "soon", want a duration such as 30s`},
		{nil, []string{"MINIMUM_DRAIN_DURATION=-1s"}, `MINIMUM_DRAIN_DURATION is "-1s"`},
		{nil, []string{"EXIT_ON_ZERO_ACTIVE_CONNECTIONS=maybe"}, "want true or false"},
		{nil, []string{"ENVOY_STATUS_PORT=65536"}, "want a port, 1 to 65535"},
		{nil, []string{"ENVOY_PROMETHEUS_PORT=0"}, "want a port, 1 to 65535"},
		{nil, []string{"INSTANCE_IP=localhost"}, "want an IP address"},
		{nil, []string{"ISTIO_CPU_LIMIT=NaN"}, "want a number of cores"},
		{nil, []string{"ISTIO_META_GLOBAL_DOWNSTREAM_MAX_CONNECTIONS=0"}, "want a number above zero"},
		{[]string{"--proxyLogLevel=loud"}, nil, `--proxyLogLevel is "loud", want one of`},
		{[]string{"--concurrency=many"}, nil, `--concurrency is "many"`},
		{[]string{"--concurrency"}, nil, "--concurrency has no value"},
		{[]string{"--concurrency=x"}, []string{"INSTANCE_IP=x", "ENVOY_STATUS_PORT=x"}, "; "},
	} {
		if _, _, err := Load(c.args, c.env, nil); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q %q: error %v, want %q", c.args, c.env, err, c.want)
		}
	}
}

// FuzzLoad: no command line or environment makes it panic, and what it accepts is usable.
func FuzzLoad(f *testing.F) {
	f.Add("--proxyLogLevel=debug --domain x", "PILLION_TERMINATION_GRACE=30s", "", "")
	f.Add("--concurrency -- - -x=", "ISTIO_CPU_LIMIT=1e300", `a="b"`, "defaultConfig: {concurrency: 2}")
	f.Add("router", "ISTIO_METAJSON_A={\"b\":[1]}", "proxy.istio.io/config=\"statusPort: 15099\"\n", "defaultConfig: &a [*a]")
	f.Fuzz(func(t *testing.T, line, env, annotations, mesh string) {
		s, _, err := Load(strings.Fields(line), strings.Fields(env), fstest.MapFS{
			annotationsFile: {Data: []byte(annotations)}, meshConfigFile: {Data: []byte(mesh)},
		})
		if err != nil {
			return
		}
		if s.TerminationGrace < 0 || s.MinimumDrain < 0 || s.ReadyPort == 0 || s.StatsPort == 0 || s.Concurrency < 0 || s.RunDir == "" {
			t.Errorf("accepted %+v", s)
		}
	})
}
