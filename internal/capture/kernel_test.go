//go:build linux

package capture_test

import (
	"maps"
	"net/netip"
	"strings"
	"testing"

	"github.com/pillion-mesh/pillion/internal/capture"
	"github.com/pillion-mesh/pillion/internal/capture/nft"
	"github.com/pillion-mesh/pillion/internal/capture/nstest"
	"github.com/pillion-mesh/pillion/internal/capture/plan"
)

// with opens the namespace of the calling thread for one piece of work.
func with(work func(capture.System) error) error {
	rules, err := nft.Open()
	if err != nil {
		return err
	}
	defer rules.Close()
	links, err := capture.OpenLinks()
	if err != nil {
		return err
	}
	defer links.Close()
	return work(capture.System{Rules: rules, Links: links, Routes: links, LegacyTables: capture.LegacyTables, Version: "test"})
}

// planOf is the plan of a command line in the namespace of the calling thread.
func planOf(line string, links capture.Links) (*plan.Plan, error) {
	args, environment := []string{}, plan.Environment{Vars: map[string]string{}}
	for _, word := range strings.Fields(line) {
		if name, value, ok := strings.Cut(word, "="); ok && name[0] == '$' {
			environment.Vars[name[1:]] = value
			continue
		}
		args = append(args, strings.ReplaceAll(word, "_", " "))
	}
	environment.Resolvers = func() []netip.Addr { return plan.ParseResolvConf(resolvConf) }
	command, err := plan.Parse(args, environment)
	if err != nil {
		return nil, err
	}
	families, _, err := capture.Families(command.Options.Families, links)
	if err != nil {
		return nil, err
	}
	options := command.Options
	if options.Mode == plan.Listed && len(options.PodIPs) == 0 {
		if options.PodIPs, err = capture.PodIPs(links, families); err != nil {
			return nil, err
		}
	}
	p, _, err := plan.New(options, families)
	return p, err
}

// apply makes a command line's plan true in the calling thread's namespace.
func apply(line string) (p *plan.Plan, result capture.Result, err error) {
	err = with(func(s capture.System) error {
		if p, err = planOf(line, s.Links); err != nil {
			return err
		}
		result, err = s.Apply(p, false)
		return err
	})
	return p, result, err
}

// flow is one connection and what must become of it.
type flow struct {
	name     string
	in       bool // made by the peer
	uid, gid int
	mark     int
	udp      bool
	port     uint16 // of the source
	src, dst string
	want     plan.Verdict
}

const (
	left     = plan.VerdictLeft
	inbound  = plan.VerdictInbound
	outbound = plan.VerdictOutbound
	dns      = plan.VerdictDNS
)

// injected is the command line of an injected pod.
const injected = "-p 15001 -z 15006 -u 1337 -m REDIRECT -i * -b * -d 15090,15021,15020"

// marked and owned tell the proxy and the captured by more than UIDs; "_" is a space, "$" starts a variable.
const (
	marked = injected + " --proxy-mark 0x100/0xff00 --drop-invalid"
	owned  = injected + " $ISTIO_OUTBOUND_OWNER_GROUPS=3000,3001 $ISTIO_OUTBOUND_OWNER_GROUPS_EXCLUDE=3001" +
		" --bypass out_tcp_port_80_to_10.99.0.0/16,fd99::/64_uid_106-108_because_it_must --bypass in_from_10.77.0.1_port_8080"
)

// scenarios hold what users rely on, by hand; Eval must say the same, and the kernel do it.
func scenarios() map[string][]flow {
	return map[string][]flow{
		marked: {
			{name: "by its mark", uid: 1000, mark: 0x1ff, dst: "10.77.0.1:80", want: left},
			{name: "another mark", uid: 1000, mark: 0x2ff, dst: "10.77.0.1:80", want: outbound},
			{name: "by its UID", uid: 1337, dst: "10.77.0.1:80", want: left},
			{name: "hairpin by its mark", uid: 1000, mark: 0x100, dst: "10.77.0.2:8080", want: inbound},
			{name: "hairpin by its mark v6", uid: 1000, mark: 0x100, dst: "[fd77::2]:8080", want: inbound},
			{name: "in", in: true, dst: "10.77.0.2:8080", want: inbound},
		},
		owned: {
			{name: "captured group", uid: 1000, gid: 3000, dst: "10.77.0.1:80", want: outbound},
			{name: "captured group v6", uid: 1000, gid: 3000, dst: "[fd77::1]:80", want: outbound},
			{name: "captured group within the pod", uid: 1000, gid: 3000, dst: "10.77.0.2:8080", want: left},
			{name: "group captured and excluded", uid: 1000, gid: 3001, dst: "10.77.0.1:80", want: left},
			{name: "other group", uid: 1000, gid: 1000, dst: "10.77.0.1:80", want: left},
			{name: "hairpin", uid: 1337, gid: 1337, dst: "10.77.0.2:8080", want: inbound},
			{name: "bypassed for its owner", uid: 107, gid: 3000, dst: "10.99.0.1:80", want: left},
			{name: "bypassed, another owner", uid: 109, gid: 3000, dst: "10.99.0.1:80", want: outbound},
			{name: "bypassed, another port", uid: 107, gid: 3000, dst: "10.99.0.1:443", want: outbound},
			{name: "bypassed, another destination", uid: 107, gid: 3000, dst: "10.77.0.1:80", want: outbound},
			{name: "bypassed v6", uid: 107, gid: 3000, dst: "[fd99::1]:80", want: left},
			{name: "bypassed source", in: true, dst: "10.77.0.2:8080", want: left},
			{name: "bypassed source, another port", in: true, dst: "10.77.0.2:8081", want: inbound},
			{name: "other source", in: true, dst: "[fd77::2]:8080", want: inbound},
		},
		injected: {
			{name: "out", uid: 1000, gid: 1000, dst: "10.77.0.1:80", want: outbound},
			{name: "out v6", uid: 1000, gid: 1000, dst: "[fd77::1]:80", want: outbound},
			{name: "out as root", dst: "10.99.0.1:80", want: outbound},
			{name: "out v6 as root", dst: "[fd99::1]:80", want: outbound},
			{name: "out to the tunnel port", uid: 1000, gid: 1000, dst: "10.77.0.1:15008", want: outbound},
			{name: "proxy out", uid: 1337, gid: 1337, dst: "10.77.0.1:80", want: left},
			{name: "proxy out v6", uid: 1337, gid: 1337, dst: "[fd77::1]:80", want: left},
			{name: "proxy by its group alone", uid: 1000, gid: 1337, dst: "10.77.0.1:80", want: left},
			{name: "hairpin", uid: 1337, gid: 1337, dst: "10.77.0.2:8080", want: inbound},
			{name: "hairpin v6", uid: 1337, gid: 1337, dst: "[fd77::2]:8080", want: inbound},
			{name: "hairpin by group alone", uid: 1000, gid: 1337, dst: "10.77.0.2:8080", want: inbound},
			{name: "hairpin to the tunnel port", uid: 1337, gid: 1337, dst: "10.77.0.2:15008", want: left},
			{name: "proxy to localhost", uid: 1337, gid: 1337, dst: "127.0.0.1:8080", want: left},
			{name: "proxy to localhost v6", uid: 1337, gid: 1337, dst: "[::1]:8080", want: left},
			{name: "passthrough", uid: 1337, gid: 1337, src: "127.0.0.6", dst: "10.77.0.2:8080", want: left},
			{name: "passthrough v6", uid: 1337, gid: 1337, src: "::6", dst: "[fd77::2]:8080", want: left},
			{name: "own address", uid: 1000, gid: 1000, dst: "10.77.0.2:8080", want: left},
			{name: "own address v6", uid: 1000, gid: 1000, dst: "[fd77::2]:8080", want: left},
			{name: "localhost", uid: 1000, gid: 1000, dst: "127.0.0.1:8080", want: left},
			{name: "another localhost", uid: 1000, gid: 1000, dst: "127.0.0.2:8080", want: left},
			{name: "localhost v6", uid: 1000, gid: 1000, dst: "[::1]:8080", want: left},
			{name: "in", in: true, dst: "10.77.0.2:8080", want: inbound},
			{name: "in v6", in: true, dst: "[fd77::2]:8080", want: inbound},
			{name: "in to the tunnel port", in: true, dst: "10.77.0.2:15008", want: left},
			{name: "in to the status port", in: true, dst: "10.77.0.2:15020", want: left},
			{name: "in to the readiness port", in: true, dst: "10.77.0.2:15021", want: left},
			{name: "in to the statistics port", in: true, dst: "[fd77::2]:15090", want: left},
		},
		injected + " -x 10.99.0.0/16,fd99::/64 -o 9000-9010 -c eth1 --exclude-outbound-uids 106-108 --exclude-inbound-ip-ranges 10.78.0.0/24,fd77::1": {
			{name: "excluded destination", uid: 1000, dst: "10.99.0.1:80", want: left},
			{name: "excluded destination v6", uid: 1000, dst: "[fd99::1]:80", want: left},
			{name: "other destination", uid: 1000, dst: "10.77.0.1:80", want: outbound},
			{name: "excluded port", uid: 1000, dst: "10.77.0.1:9000", want: left},
			{name: "excluded port of the proxy to itself", uid: 1337, gid: 1337, dst: "10.77.0.2:9000", want: left},
			{name: "excluded interface, out", uid: 1000, dst: "10.78.0.1:80", want: left},
			{name: "excluded interface, in", in: true, dst: "10.78.0.2:8080", want: left},
			{name: "excluded UID", uid: 107, dst: "10.77.0.1:80", want: left},
			{name: "UID after the excluded ones", uid: 109, dst: "10.77.0.1:80", want: outbound},
			{name: "excluded source v6", in: true, dst: "[fd77::2]:8080", want: left},
			{name: "other source", in: true, dst: "10.77.0.2:8080", want: inbound},
		},
		"-u 1337,1338 -g 2000 -i 10.77.0.0/24,fd99::/64 -q 443 -b 8080,9000-9010": {
			{name: "included destination", uid: 1000, dst: "10.77.0.1:80", want: outbound},
			{name: "destination not included", uid: 1000, dst: "10.99.0.1:80", want: left},
			{name: "destination not included v6", uid: 1000, dst: "[fd77::1]:80", want: left},
			{name: "included destination v6", uid: 1000, dst: "[fd99::1]:80", want: outbound},
			{name: "included port", uid: 1000, dst: "10.99.0.1:443", want: outbound},
			{name: "included port v6", uid: 1000, dst: "[fd77::1]:443", want: outbound},
			{name: "second proxy UID", uid: 1338, dst: "10.77.0.1:80", want: left},
			{name: "hairpin of the second proxy UID", uid: 1338, dst: "10.77.0.2:8081", want: inbound},
			{name: "proxy group", uid: 1000, gid: 2000, dst: "10.77.0.1:80", want: left},
			{name: "UID's number as a group", uid: 1000, gid: 1337, dst: "10.77.0.1:80", want: outbound},
			{name: "listed port", in: true, dst: "10.77.0.2:8080", want: inbound},
			{name: "port in a listed range v6", in: true, dst: "[fd77::2]:9000", want: inbound},
			{name: "port not listed", in: true, dst: "10.77.0.2:8081", want: left},
		},
		injected + " --ip-families ipv4": {
			{name: "out", uid: 1000, dst: "10.77.0.1:80", want: outbound},
			{name: "out v6", uid: 1000, dst: "[fd77::1]:80", want: left},
			{name: "in", in: true, dst: "10.77.0.2:8080", want: inbound},
			{name: "in v6", in: true, dst: "[fd77::2]:8080", want: left},
			{name: "hairpin v6", uid: 1337, gid: 1337, dst: "[fd77::2]:8080", want: left},
		},
		injected + " --ip-families ipv6": {
			{name: "out", uid: 1000, dst: "10.77.0.1:80", want: left},
			{name: "out v6", uid: 1000, dst: "[fd77::1]:80", want: outbound},
			{name: "in", in: true, dst: "10.77.0.2:8080", want: left},
			{name: "in v6", in: true, dst: "[fd77::2]:8080", want: inbound},
		},
		"-i 127.0.0.0/8,10.77.0.0/16": {
			{name: "localhost lifted", uid: 1000, dst: "127.0.0.1:8080", want: outbound},
			{name: "own address lifted", uid: 1000, dst: "10.77.0.2:8080", want: outbound},
			{name: "localhost v6 not lifted", uid: 1000, dst: "[::1]:8080", want: left},
			{name: "nothing captured inbound", in: true, dst: "10.77.0.2:8080", want: left},
			{name: "proxy to localhost", uid: 1337, gid: 1337, dst: "127.0.0.1:8080", want: left},
		},
		"-b *": {
			{name: "nothing captured outbound", uid: 1000, dst: "10.77.0.1:80", want: left},
			{name: "in", in: true, dst: "10.77.0.2:8080", want: inbound},
			{name: "hairpin", uid: 1337, gid: 1337, dst: "10.77.0.2:8080", want: inbound},
		},
		"-m NONE -i * -b *": {
			{name: "out", uid: 1000, dst: "10.77.0.1:80", want: left},
			{name: "in", in: true, dst: "10.77.0.2:8080", want: left},
			{name: "hairpin", uid: 1337, gid: 1337, dst: "10.77.0.2:8080", want: left},
		},
	}
}

// servedPod is a pod with everything listening that flows may reach.
func servedPod(t *testing.T) *nstest.Pod {
	pod := nstest.NewPod(t)
	pod.ServeTransparent(t, 15006)
	pod.Serve(t, 53, 15001, 15053, 8080, 8081, 9000, 15008, 15020, 15021, 15090)
	pod.Peer.Serve(t, 53, 80, 443, 9000, 15008)
	pod.ServeUDP(t, 1337, 15053)
	pod.ServeUDP(t, 0, 53, 8080)
	pod.Peer.ServeUDP(t, 0, 53, 80)
	return pod
}

// The scenarios share a pod: each apply must converge from whatever the one before left.
func TestKernelDoesWhatEvalSays(t *testing.T) { doesWhatEvalSays(t, apply) }

// applier makes a command line's plan true in the calling thread's namespace.
type applier func(line string) (*plan.Plan, capture.Result, error)

func doesWhatEvalSays(t *testing.T, apply applier) {
	pod := servedPod(t)
	all := scenarios()
	maps.Copy(all, dnsScenarios())
	maps.Copy(all, listedScenarios())
	maps.Copy(all, tproxyScenarios())
	maps.Copy(all, virtualScenarios())
	for line, flows := range all {
		t.Run(line, func(t *testing.T) {
			var p *plan.Plan
			pod.Must(t, func() (err error) {
				if strings.Contains(line, "--mode listed") { // another one's live sets would stay as they are
					if _, _, err = apply("-m NONE"); err != nil {
						return err
					}
				}
				p, _, err = apply(line)
				return err
			})
			for _, f := range flows {
				t.Run(f.name, func(t *testing.T) { f.check(t, pod, p) })
			}
		})
	}
}

func (f flow) check(t *testing.T, pod *nstest.Pod, p *plan.Plan) {
	dial := nstest.Dial{UID: f.uid, GID: f.gid, Mark: f.mark, Borrowed: strings.HasPrefix(f.name, "in a client's name"), Port: f.port, Dst: netip.MustParseAddrPort(f.dst)}
	if f.src != "" {
		dial.Src = netip.MustParseAddr(f.src)
	}
	from := pod.Namespace
	if f.in {
		from = pod.Peer
	}
	var got nstest.Answer
	from.Must(t, func() (err error) {
		if f.udp {
			got, err = nstest.Query(dial)
			return err
		}
		got, err = nstest.Connect(dial)
		return err
	})
	trace := p.Eval(f.packet(got.Local))
	if trace.Verdict != f.want {
		t.Errorf("Eval says %s by %q, want %s", trace.Verdict, trace.Decided, f.want)
	}
	if got.Port != trace.Port {
		t.Errorf("the connection arrived at port %d, Eval says %d by %q", got.Port, trace.Port, trace.Decided)
	}
	if trace.Verdict != left && got.Original != dial.Dst && !f.udp {
		t.Errorf("SO_ORIGINAL_DST is %s, want %s", got.Original, dial.Dst)
	}
	if trace.Verdict == left && got.Original.IsValid() && got.Original != dial.Dst {
		t.Errorf("SO_ORIGINAL_DST is %s: somebody rewrote a connection that is left alone", got.Original)
	}
}

// packet is the flow as Eval sees it; the client's address is the kernel's choice.
func (f flow) packet(local netip.AddrPort) plan.Packet {
	dst := netip.MustParseAddrPort(f.dst)
	iface := nstest.Eth0
	switch {
	case strings.HasPrefix(f.dst, "10.78."), strings.HasPrefix(f.dst, "10.88."):
		iface = nstest.Eth1
	case !f.in && (dst.Addr().IsLoopback() || dst.Addr().String() == nstest.PodV4 || dst.Addr().String() == nstest.PodV6):
		iface = "lo"
	}
	packet := plan.Packet{Hook: plan.Output, Proto: plan.TCP, Src: local, Dst: dst, Mark: uint32(f.mark)}
	if f.udp {
		packet.Proto = plan.UDP
	}
	if f.in {
		packet.Hook, packet.In = plan.Prerouting, iface
		return packet
	}
	packet.Out, packet.Owner = iface, &plan.Owner{UID: uint32(f.uid), GID: uint32(f.gid)}
	return packet
}
