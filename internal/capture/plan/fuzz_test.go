package plan

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
)

func FuzzPorts(f *testing.F) {
	for _, s := range []string{"", "80", "80,443", "8000-8100,8050", "1-65535", "0", "65536", "080", "80,,", "-", "1-", "90-80"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		list, err := parseRanges(s, 1, 65535)
		if err != nil {
			return
		}
		for i, r := range list {
			if r.Lo < 1 || r.Hi > 65535 || r.Lo > r.Hi || (i > 0 && r.Lo <= list[i-1].Hi+1) {
				t.Errorf("%q: %v", s, list)
			}
		}
		again, err := parseRanges(join(list), 1, 65535)
		if err != nil || !slices.Equal(list, again) {
			t.Errorf("%q: %v reads back as %v, %v", s, list, again, err)
		}
	})
}

func FuzzUIDs(f *testing.F) {
	for _, s := range []string{"0", "106-108", "4294967294", "4294967295", "1337,1338", "x"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		list, err := parseRanges(s, 0, maxID)
		if err != nil {
			return
		}
		again, err := parseRanges(join(list), 0, maxID)
		if err != nil || !slices.Equal(list, again) {
			t.Errorf("%q: %v reads back as %v, %v", s, list, again, err)
		}
	})
}

func FuzzCIDRs(f *testing.F) {
	for _, s := range []string{"10.0.0.0/8", "10.1.2.3/8,10.0.0.0/16", "1.2.3.4", "fd00::/64,::1", "::ffff:1.2.3.4", "fe80::1%lo", "0.0.0.0/0,::/0", "1.2.3.4/33"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		list, err := parsePrefixes(s)
		if err != nil {
			return
		}
		for i, a := range list {
			if a != a.Masked() || a.Addr().Is4In6() || slices.ContainsFunc(list[i+1:], a.Overlaps) {
				t.Errorf("%q: %v", s, list)
			}
		}
		again, err := parsePrefixes(join(list))
		if err != nil || !slices.Equal(list, again) {
			t.Errorf("%q: %v reads back as %v, %v", s, list, again, err)
		}
	})
}

// Whatever parses must plan or be refused with a reason, write its rules, evaluate, and give the same plan again
// through Args.
func FuzzFlags(f *testing.F) {
	for _, s := range []string{
		"-i * -b * -d 15090,15021,15020", "explain tcp 1.1.1.1:1 2.2.2.2:2 --uid 3", "-m NONE", "verify -x 10.0.0.0/8 -c eth0 -o 1-2",
		"--exclude-outbound-uids 0-5 -u 1,2 -g 3", "--proxy-mark 5/7 --drop-invalid -i *", "--redirect-dns -o 53 -c eth0 --proxy-mark 3", "--redirect-dns --capture-all-dns", "-k net0,net1 --arming late -i 10.0.0.0/8", "-m TPROXY -b * -t 5 -r 6 --drop-invalid", "--mode listed --pod-ips 10.0.0.7,fd00::7 --listed-inbound 10.0.0.7:80 --listed-outbound 240.0.0.1 --redirect-dns", "$ISTIO_OUTBOUND_OWNER_GROUPS=1,2 $ISTIO_OUTBOUND_OWNER_GROUPS_EXCLUDE=3 -i *", "-i 127.0.0.0/8,::1 -q 1 --ip-families ipv6", "-- x", "-", "--", "-=", "--=", "-p=1", "-p1", "$PROXY_UID=1 $DUAL=x",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, line string) {
		var args []string
		vars := map[string]string{}
		for _, word := range strings.Fields(line) {
			if name, value, ok := strings.Cut(word, "="); ok && strings.HasPrefix(word, "$") {
				vars[name[1:]] = value
				continue
			}
			args = append(args, word)
		}
		c, err := Parse(args, Environment{Vars: vars, Resolvers: testServers})
		if err != nil {
			return
		}
		for _, families := range []Families{{V4: true}, {V6: true}, {V4: true, V6: true}} {
			p, _, err := New(c.Options, families)
			if err != nil {
				return
			}
			holds(t, c, p)
		}
	})
}

func testServers() []netip.Addr { return ParseResolvConf("nameserver 10.77.0.1\nnameserver fd77::1\n") }

func FuzzResolvConf(f *testing.F) {
	f.Add("nameserver 1.2.3.4\nnameserver fe80::1%eth0 # x\nsearch a b\n")
	f.Fuzz(func(t *testing.T, s string) {
		list := ParseResolvConf(s)
		for _, a := range list {
			if a.Zone() != "" || a.Is4In6() || len(list) > maxResolvers {
				t.Errorf("%q: %v", s, list)
			}
		}
	})
}

func FuzzBypass(f *testing.F) {
	for _, s := range []string{
		"out tcp port 9000-9100 to 10.0.0.0/8 uid 106-108 because backups", "in from 10.0.0.0/8,fd00::/8 udp", "out gid 5 iface eth0,eth1",
		"out", "in uid 5", "because", "out port", "out to *", "out tcp because a;b", "out tcp tcp",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		by, err := parseBypass(s)
		if err != nil {
			return
		}
		again, err := parseBypass(by.text())
		if err != nil || again.text() != by.text() {
			t.Errorf("%q: %q reads back as %q, %v", s, by.text(), again.text(), err)
		}
		o := Defaults()
		o.OutboundCIDRs.All, o.Bypass = true, []Bypass{by}
		p, _, err := New(o, Families{V4: true, V6: true})
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range p.Rules().Chains {
			for _, r := range c.Rules {
				if strings.ContainsAny(r.Comment(), "\"\n") {
					t.Errorf("%q: comment %q", s, r.Comment())
				}
			}
		}
	})
}

func holds(t *testing.T, c *Command, p *Plan) {
	if text := p.Rules().Text("fuzz"); !p.Empty() && !strings.HasPrefix(text, "table inet pillion {") {
		t.Errorf("text %q", text)
	}
	owner := &Owner{UID: 1000, GID: 1000}
	for _, dst := range []string{"10.0.0.1:80", "[fd00::1]:80", "127.0.0.1:80"} {
		to := netip.MustParseAddrPort(dst)
		p.Eval(Packet{Hook: Output, Proto: TCP, Src: to, Dst: to, Out: "lo", Owner: owner})
		p.Eval(Packet{Hook: Prerouting, Proto: TCP, Src: to, Dst: to, In: "eth0"})
	}
	again, err := Parse(Args(c.Options), Environment{})
	if err != nil {
		t.Fatalf("%v: %v", Args(c.Options), err)
	}
	again.Options.Loopback, again.Options.OwnerGroups = c.Options.Loopback, c.Options.OwnerGroups // have variables only
	again.Options.Resolvers = c.Options.Resolvers
	if q, _, err := New(again.Options, p.Families); err != nil || q.Fingerprint() != p.Fingerprint() {
		t.Errorf("%v: another plan, %v", Args(c.Options), err)
	}
}
