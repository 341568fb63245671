package pillion

import (
	"path/filepath"
	"strings"
	"testing"
)

// Everything that needs no cluster: reading files, filters, wrong usage.
func TestProxyConfigOfAFile(t *testing.T) {
	dump := filepath.Join("..", "..", "cli", "proxyconfig", "testdata", "dump.json")
	clusters := filepath.Join("..", "..", "cli", "proxyconfig", "testdata", "clusters.json")
	for _, c := range []struct {
		args        string
		code        int
		out, errOut string
	}{
		{"proxy-config cluster -f " + dump + " --subset v2", 0, "dr-bill-service.istio-demo", ""},
		{"pc c -f " + dump + " --fqdn inbound|80|| -ojson", 0, `"127.0.0.6"`, ""},
		{"pc l -f " + dump + " --port 15001 -ojson", 0, `"useOriginalDst": true`, ""},
		{"pc l -f " + dump + " --verbose=false", 0, "ADDRESSES      PORT      TYPE", ""},
		{"pc route -f " + dump + " --name 9999", 0, "VHOST NAME", "NOTE: This output only contains routes loaded via RDS."},
		{"pc routes -f " + dump + " --route inbound|80|| -o yaml", 0, "cluster: inbound|80||", ""},
		{"pc r -f " + dump + " --vhost-name=false", 0, "NAME             DOMAINS", ""},
		{"pc ep -f " + clusters + " --status unhealthy", 0, "10.244.0.18:80", ""},
		{"pc eds -f " + dump, 0, "eu/a", ""},
		{"pc s -f " + dump, 0, "Cert Chain", ""},
		{"pc b -f " + dump, 0, "sidecar~10.244.0.9", ""},
		{"pc b -f " + dump + " -o short", 0, "Istio Version:       1.29.0", ""},
		{"pc ec -f " + dump, 0, "istio-demo.fault", ""},
		{"pc all -f " + dump + " --with-headers", 0, "------ SECRET INFO ------", ""},
		{"pc", 0, "--help", ""},
		{"pc clutser", exitUsage, "", "did you mean"},
		{"pc cluster", exitUsage, "", "a pod or TYPE/NAME, or -f FILE; got 0"},
		{"pc cluster a -f b", exitUsage, "", "got 2"},
		{"pc cluster -f " + dump + " -o wide", exitUsage, "", "want table, json or yaml"},
		{"pc all -f " + dump + " -o json", exitUsage, "", "want table\n"},
		{"pc log -f " + dump, exitUsage, "", "levels aren't in a dump"},
		{"pc log a --level loud", exitUsage, "", `no level "loud"`},
		{"pc log a -r --level info", exitUsage, "", "exclude each other"},
		{"pc cluster -f " + file(t, "{}"), exitInput, "", "want the answer of /config_dump"},
		{"pc ep -f " + file(t, "[]"), exitInput, "", "reading /clusters?format=json"},
		{"pc cluster -f /nowhere", exitInput, "", "/nowhere"},
	} {
		t.Run(c.args, func(t *testing.T) {
			code, out, errOut := call(strings.Fields(c.args)...)
			if code != c.code || !strings.Contains(out, c.out) || !strings.Contains(errOut, c.errOut) {
				t.Errorf("exit %d, want %d; stdout\n%s\nstderr\n%s", code, c.code, out, errOut)
			}
		})
	}
}
