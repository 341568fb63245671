package sidecar

import (
	"encoding/json"
	"testing"
	"time"

	adminv3 "github.com/envoyproxy/go-control-plane/envoy/admin/v3"
	"google.golang.org/protobuf/encoding/protojson"
)

// TestCommandLine: /server_info shows the flags in Envoy's message, which tools read strictly.
func TestCommandLine(t *testing.T) {
	flags, err := parseProxyFlags([]string{"proxy", "--restart-epoch=3", "--control-fd", "none", "-c", "/b.json", "--mode=validate", "--config-yaml={}", "--drain-time-s", "45"})
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
	if m.RestartEpoch != 3 || m.ConfigPath != "/b.json" || m.ConfigYaml != "{}" || m.Mode != adminv3.CommandLineOptions_Validate || m.DrainTime.AsDuration() != 45*time.Second {
		t.Errorf("%s", text)
	}
}
