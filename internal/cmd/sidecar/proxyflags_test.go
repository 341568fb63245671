package sidecar

import (
	"encoding/json"
	"testing"
	"time"

	adminv3 "github.com/envoyproxy/go-control-plane/envoy/admin/v3"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/pillion-mesh/pillion/internal/agent"
)

// TestCommandLine: /server_info shows the flags in Envoy's message, which tools read strictly.
func TestCommandLine(t *testing.T) {
	flags, err := parseProxyFlags([]string{"proxy", "--restart-epoch=3", "--control-fd", "none", "-c", "/b.json", "--mode=validate", "--config-yaml={}", "--drain-time-s", "30", "--drain-strategy=immediate", "--parent-shutdown-time-s=7"})
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(flags.shown())
	if err != nil {
		t.Fatal(err)
	}
	var m adminv3.CommandLineOptions
	if err := protojson.Unmarshal(text, &m); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	if m.RestartEpoch != 3 || m.ConfigPath != "/b.json" || m.ConfigYaml != "{}" || m.Mode != adminv3.CommandLineOptions_Validate || m.DrainTime.AsDuration() != 30*time.Second ||
		m.DrainStrategy != adminv3.CommandLineOptions_Immediate || m.ParentShutdownTime.AsDuration() != 7*time.Second || flags.spread() != 0 {
		t.Errorf("%s", text)
	}
}

// TestDrainFlags: what they are without, and what isn't a number of seconds.
func TestDrainFlags(t *testing.T) {
	flags, err := parseProxyFlags([]string{"proxy"})
	if err != nil || flags.spread() != 45*time.Second || flags.ParentShutdown != time.Minute {
		t.Errorf("%+v, %v", flags, err)
	}
	for _, wrong := range []string{"--drain-time-s=", "--drain-time-s=45s", "--drain-time-s=-1", "--parent-shutdown-time-s=x", "--drain-strategy=slow"} {
		if _, err := parseProxyFlags([]string{"proxy", wrong}); err == nil {
			t.Errorf("%s is taken", wrong)
		}
	}
}

// TestDrainSettings: the proxy is told what the agent was, by its flags or by ProxyConfig.
func TestDrainSettings(t *testing.T) {
	for _, c := range []struct {
		args, env     []string
		drain, parent time.Duration
	}{
		{nil, nil, 45 * time.Second, time.Minute},
		{nil, []string{`PROXY_CONFIG={"drainDuration":"20s","parent_shutdown_duration":"1500ms"}`}, 20 * time.Second, 2 * time.Second},
		{[]string{"--drainDuration=5s", "--parentShutdownDuration", "1m30s"}, []string{`PROXY_CONFIG={"drainDuration":"20s"}`}, 5 * time.Second, 90 * time.Second},
	} {
		settings, ignored, err := agent.Load(append([]string{"agent"}, c.args...), c.env, nil)
		if err != nil || len(ignored) > 0 {
			t.Fatalf("%q: ignored %q, %v", c.args, ignored, err)
		}
		flags, err := parseProxyFlags(proxyCommand(settings))
		if err != nil || flags.DrainTime != c.drain || flags.ParentShutdown != c.parent {
			t.Errorf("%q %q: %+v, %v", c.args, c.env, flags, err)
		}
	}
}
