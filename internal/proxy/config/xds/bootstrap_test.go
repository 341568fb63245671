package xds

import (
	"strings"
	"testing"
)

// TestBootstrapMerges: single fields replace, lists grow, as --config-yaml does.
func TestBootstrapMerges(t *testing.T) {
	b, err := Bootstrap(
		[]byte(`{"node": {"id": "a", "cluster": "c"}, "static_resources": {"secrets": [{"name": "s"}]}}`),
		[]byte("node: {id: b}\nstatic_resources: {secrets: [{name: t}]}\nadmin: {address: {pipe: {path: /run/admin}}}"),
	)
	if err != nil {
		t.Fatal(err)
	}
	if b.Node.ID != "b" || b.Node.Cluster != "c" || len(b.Secrets) != 2 || Name(b.Secrets[1]) != "t" || b.AdminPipe != "/run/admin" || b.UnknownFields != "" {
		t.Errorf("got %+v", b)
	}
}

func TestBootstrapNotes(t *testing.T) {
	b, err := Bootstrap([]byte("{overload_manager: {}, watchdogs: {}, made_up: 1, stats_config: {stats_matcher: {reject_all: true}}}"))
	if err != nil {
		t.Fatal(err)
	}
	expect(t, notes(Needs{Notes: b.Notes}), []string{"no effect overload_manager at", "no effect watchdogs at"})
	if !strings.Contains(b.UnknownFields, "made_up") || !b.StatsMatcher.RejectAll || !b.DefaultTags {
		t.Errorf("got %+v", b)
	}
}

func TestBootstrapRefused(t *testing.T) {
	for name, c := range map[string]struct{ text, want string }{
		"neither":   {"{", "neither JSON nor YAML: "},
		"empty":     {"", "empty"},
		"a type":    {`{"node": 7}`, "not a envoy.config.bootstrap.v3.Bootstrap: "},
		"REST":      {"{node: {id: n}, dynamic_resources: {ads_config: {api_type: REST}}}", "dynamic_resources.ads_config.api_type: REST is not supported"},
		"no server": {"{dynamic_resources: {ads_config: {api_type: GRPC}}}", "dynamic_resources.ads_config.grpc_services: neither envoy_grpc nor google_grpc"},
		"admin":     {"{admin: {address: {socket_address: {address: x, port_value: 1}}}}", `admin.address.socket_address.address: "x" is not an IP address`},
		"regex":     {`{stats_config: {stats_tags: [{tag_name: a, regex: "("}]}}`, "stats_config.stats_tags[0].regex: regex \"(\": "},
		"large":     {strings.Repeat(" ", maxBootstrap+1), "16777217 bytes are more than 16777216"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Bootstrap([]byte(c.text))
			if got := reasons(t, err); len(got) == 0 || !strings.HasPrefix(got[0], c.want) {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}
