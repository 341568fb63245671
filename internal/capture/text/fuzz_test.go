package text

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/pillion-mesh/pillion/internal/capture/plan"
)

// Whatever parses is written in every dialect, or the dialect says what it can't say; and no value of the user's ends a
// line or starts one of its own.
func FuzzDialects(f *testing.F) {
	for _, s := range []string{
		"-i * -b * -d 15090,15021,15020", "-m TPROXY -b * -t 5 -r 6 --drop-invalid", "-x 10.0.0.0/8 -c eth0,a;b -o 1-2 -q 3 -i 10.0.0.0/8",
		"--mode listed -p 15001 -z 15001 --pod-ips 10.0.0.7 --listed-inbound 10.0.0.7:80 --listed-outbound 240.0.0.1 --redirect-dns --capture-all-dns",
		"--redirect-dns -k net0,net1 --arming late", "-u 1,2 -g 3 --proxy-mark 5/7 --exclude-outbound-uids 0-5 -i * --bypass out_tcp_port_80",
	} {
		f.Add(s, true, false)
		f.Add(s, true, true)
	}
	servers := func() []netip.Addr {
		return []netip.Addr{netip.MustParseAddr("10.0.0.10"), netip.MustParseAddr("fd00::10")}
	}
	f.Fuzz(func(t *testing.T, line string, v4, v6 bool) {
		args := strings.Fields(line)
		for i := range args {
			args[i] = strings.ReplaceAll(args[i], "_", " ")
		}
		c, err := plan.Parse(args, plan.Environment{Resolvers: servers})
		if err != nil {
			return
		}
		p, _, err := plan.New(c.Options, plan.Families{V4: v4, V6: v6})
		if err != nil {
			return
		}
		for _, dialect := range []Dialect{Pillion, Istio, Istio18, TSF} {
			files, err := Files(p, dialect)
			if err != nil {
				continue
			}
			_ = Listing(files)
			for l := range strings.Lines(RestoreText(files)) {
				if !strings.ContainsRune("*:-#C\n", rune(l[0])) {
					t.Errorf("%q in %s: line %q", line, dialect, l)
				}
			}
		}
	})
}
