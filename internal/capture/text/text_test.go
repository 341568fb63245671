package text

import (
	"flag"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pillion-mesh/pillion/internal/capture/plan"
)

var update = flag.Bool("update", false, "write the golden files") //nolint:gochecknoglobals // a flag of the test binary

func planOf(t *testing.T, line string, families plan.Families) *plan.Plan {
	t.Helper()
	c, err := plan.Parse(strings.Fields(line), plan.Environment{})
	if err != nil {
		t.Fatal(err)
	}
	c.Options.Resolvers = []netip.Addr{netip.MustParseAddr("10.96.0.10"), netip.MustParseAddr("10.96.0.11"), netip.MustParseAddr("fd96::a")}
	p, _, err := plan.New(c.Options, families)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func v4() plan.Families { return plan.Families{V4: true} }

func dual() plan.Families { return plan.Families{V4: true, V6: true} }

const listed = "--mode listed -u 1000 -p 15001 -z 15001 --dns-port 55354 --redirect-dns --capture-all-dns --pod-ips 9.77.7.28"

const injected = "-p 15001 -z 15006 -u 1337 -m REDIRECT -i * -b * -d 15090,15021,15020"

func TestGolden(t *testing.T) {
	for name, c := range map[string]struct {
		dialect  Dialect
		line     string
		families plan.Families
	}{
		"injected":       {Pillion, injected, dual()},
		"excludes":       {Pillion, injected + " -x 10.99.0.0/16,10.98.0.1,fd99::/64 -o 9000-9010,53 -c eth1,eth7 --exclude-outbound-uids 0,106-108 --exclude-inbound-ip-ranges 10.78.0.0/24,fd78::/64", dual()},
		"identities":     {Pillion, "-u 1337,1338,2000 -g 1337 -i 10.77.0.0/24,fd77::/64 -q 443,8443 -b 1,3,5,7,9,11,13,15,17,19,21,23,25,27-28,30", v4()},
		"loopback":       {Pillion, "-i 127.0.0.0/8,10.0.0.0/8", dual()},
		"dns":            {Pillion, injected + " --redirect-dns --drop-invalid -o 9000 -c eth7 --exclude-outbound-uids 5", dual()},
		"dns-all":        {Pillion, injected + " --redirect-dns --capture-all-dns", dual()},
		"istio-dns":      {Istio, injected + " --redirect-dns", dual()},
		"istio-dns-all":  {Istio, injected + " --redirect-dns --capture-all-dns", v4()},
		"tproxy":         {Pillion, injected + " -m TPROXY --drop-invalid -c eth1 --exclude-inbound-ip-ranges 10.78.0.0/24", dual()},
		"virtual":        {Pillion, injected + " -k virt0 -x 10.99.0.0/16 --ip-families ipv4", v4()},
		"disarmed":       {Pillion, injected + " --arming late --redirect-dns", v4()},
		"listed":         {Pillion, listed + ",fd00::7 --listed-inbound 9.77.7.28:8089,9.77.7.28:9090,[fd00::7]:80 --listed-outbound 240.0.0.10,240.0.0.11", dual()},
		"listed-empty":   {Pillion, listed, v4()},
		"tsf":            {TSF, listed + " --listed-inbound 9.77.7.28:8089 --listed-outbound 240.0.0.10", v4()},
		"istio":          {Istio, injected, dual()},
		"istio-lists":    {Istio, "-u 1337 -g 1338 -i 10.9.0.0/16,10.2.0.0/16 -x 10.9.1.0/24,10.2.3.4 -q 443,80 -o 7,6 -b 9001,80", v4()},
		"istio-loopback": {Istio, "-i 127.0.0.0/8,10.0.0.0/8", v4()},
		"istio-tproxy":   {Istio, injected + " -m TPROXY -c eth1", dual()},
		"istio-tproxy-b": {Istio, "-m TPROXY -b 80,9001 -i * -t 7", v4()},
		"istio-virtual":  {Istio, "-b * -i 10.9.0.0/16,10.2.0.0/16 -k virt0,virt1 -c eth1,eth7", v4()},
		"istio-1.8":      {Istio18, "-i * -b * -u 1337 -d 22,15090,15021,15020", v4()},
	} {
		t.Run(name, func(t *testing.T) {
			p := planOf(t, c.line, c.families)
			files, err := Shown(p, c.dialect)
			if err != nil {
				t.Fatal(err)
			}
			golden(t, name+".list", Listing(files))
			if written, err := Files(p, c.dialect); err == nil {
				golden(t, name+".restore", RestoreText(written))
			}
		})
	}
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), got); d != "" {
		t.Errorf("%s (-update writes it):\n%s", path, d)
	}
}

// The two listings of Istio, written down by hand: those of the counted chain differ in what isn't captured only.
func TestIstioListings(t *testing.T) {
	for _, c := range []struct {
		dialect           Dialect
		skips             string
		jump, hairpin     string
		inbound           []string
		families          plan.Families
		loopback, through string
	}{
		{Istio, "15090,15021,15020", "", "-p tcp -m tcp ! --dport 15008 ", []string{"15008", "15090", "15021", "15020"}, v4(), "127.0.0.1/32", "127.0.0.6/32"},
		{Istio18, "22,15090,15021,15020", "-p tcp ", "", []string{"15008", "22", "15090", "15021", "15020"}, v4(), "127.0.0.1/32", "127.0.0.6/32"},
		{Istio, "15090,15021,15020", "", "-p tcp -m tcp ! --dport 15008 ", []string{"15008", "15090", "15021", "15020"}, plan.Families{V6: true}, "::1/128", "::6/128"},
	} {
		want := []string{
			"-P PREROUTING ACCEPT", "-P INPUT ACCEPT", "-P OUTPUT ACCEPT", "-P POSTROUTING ACCEPT",
			"-N ISTIO_INBOUND", "-N ISTIO_IN_REDIRECT", "-N ISTIO_OUTPUT", "-N ISTIO_REDIRECT",
			"-A PREROUTING -p tcp -j ISTIO_INBOUND", "-A OUTPUT " + c.jump + "-j ISTIO_OUTPUT",
		}
		for _, port := range c.inbound {
			want = append(want, "-A ISTIO_INBOUND -p tcp -m tcp --dport "+port+" -j RETURN")
		}
		want = append(want, "-A ISTIO_INBOUND -p tcp -j ISTIO_IN_REDIRECT",
			"-A ISTIO_IN_REDIRECT -p tcp -j REDIRECT --to-ports 15006",
			"-A ISTIO_OUTPUT -s "+c.through+" -o lo -j RETURN")
		for _, who := range []string{"--uid-owner 1337", "--gid-owner 1337"} {
			want = append(want, "-A ISTIO_OUTPUT ! -d "+c.loopback+" -o lo "+c.hairpin+"-m owner "+who+" -j ISTIO_IN_REDIRECT",
				"-A ISTIO_OUTPUT -o lo -m owner ! "+who+" -j RETURN", "-A ISTIO_OUTPUT -m owner "+who+" -j RETURN")
		}
		want = append(want, "-A ISTIO_OUTPUT -d "+c.loopback+" -j RETURN", "-A ISTIO_OUTPUT -j ISTIO_REDIRECT",
			"-A ISTIO_REDIRECT -p tcp -j REDIRECT --to-ports 15001", "")
		files, err := Files(planOf(t, "-i * -b * -u 1337 -d "+c.skips, c.families), c.dialect)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(want, strings.Split(Listing(files), "\n")); d != "" {
			t.Errorf("%s: %s", c.dialect, d)
		}
	}
}

// What a dialect has no rules for is refused: rules that capture more or less than the plan are worse than none.
func TestDialectsRefuseWhatTheyCannotSay(t *testing.T) {
	for _, c := range []struct {
		dialect    Dialect
		line, want string
	}{
		{Istio, injected + " --exclude-outbound-uids 5", "--dialect istio can't say --exclude-outbound-uids; want --dialect pillion"},
		{Istio, injected + " -c eth1", "can't write -c: those rules couldn't be told from another program's"},
		{Istio, injected + " -k virt0", "can't write -k: "},
		{Istio18, injected + " -c eth1", "can't say -c"},
		{Istio18, injected + " --exclude-inbound-ip-ranges 10.0.0.0/8", "can't say --exclude-inbound-ip-ranges"},
		{TSF, injected, "can't say mode all"},
		{Istio, injected + " -m TPROXY -c eth1", "can't write TPROXY, -c: "},
		{Istio, injected + " --arming late", "can't say late arming"},
		{Istio18, injected + " -k virt0", "can't say virtual interfaces"},
		{"iptables", injected, `"iptables": want one of [pillion istio istio-1.8 tsf]`},
		{Pillion, injected + " -c eth+", `iptables reads interface "eth+" as a pattern`},
	} {
		if _, err := Files(planOf(t, c.line, dual()), c.dialect); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s, %s: %v; want %q", c.dialect, c.line, err, c.want)
		}
	}
	for _, p := range []*plan.Plan{nil, planOf(t, "-m NONE", dual())} {
		if files, err := Files(p, Pillion); len(files) != 0 || err != nil {
			t.Errorf("an empty plan has %v, %v", files, err)
		}
	}
}
