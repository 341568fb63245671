//go:build linux

package capture_test

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"strings"
	"sync"
	"testing"

	"github.com/pillion-mesh/pillion/internal/capture"
	"github.com/pillion-mesh/pillion/internal/capture/nstest"
	"github.com/pillion-mesh/pillion/internal/capture/plan"
)

// The matrix: every plan there is, and every connection that could matter to any of them. Nobody says here what must
// come out: the kernel does what it does, and Eval must have said so.

// owners of a socket: application, root, proxy, second proxy, proxy by its group or user alone, excluded users, owner groups.
var owners = []plan.Owner{{UID: 1000, GID: 1000}, {}, {UID: 1337, GID: 1337}, {UID: 1338, GID: 1000}, {UID: 1000, GID: 1337}, {UID: 1337, GID: 1000},
	{UID: 5, GID: 5}, {UID: 107, GID: 1000}, {UID: 1000, GID: 3000}, {UID: 1000, GID: 3001}, {UID: 1000, GID: 2000},
	{UID: 1337, GID: 3000}, {UID: 107, GID: 3000}}

// Destinations: another pod, one of another range, one behind the second cable, this pod, localhost.
var (
	destinations = []string{"10.77.0.1", "10.99.0.1", "10.78.0.1", "10.77.0.2", "127.0.0.1", "127.0.0.2", "127.0.0.53",
		"fd77::1", "fd99::1", "fd77::2", "::1"}
	arrivals = []string{"10.77.0.2", "10.78.0.2", "fd77::2"}
	tcpPorts = []uint16{53, 80, 443, 8080, 8081, 9000, 15008, 15020}
	udpPorts = []uint16{53, 80, 9000}
)

// cells are all flows of the matrix.
func cells() (all []flow) {
	port := uint16(20000) // conntrack remembers a UDP port for a while, so each is used once
	add := func(f flow, dst string, port uint16) {
		f.dst = netip.AddrPortFrom(netip.MustParseAddr(dst), port).String()
		all = append(all, f)
	}
	query := func(f flow, dst string, to uint16) {
		f.udp, f.port = true, port
		port++
		add(f, dst, to)
	}
	for _, o := range owners {
		for _, dst := range destinations {
			f := flow{uid: int(o.UID), gid: int(o.GID)}
			for _, to := range tcpPorts {
				add(f, dst, to)
			}
			for _, to := range udpPorts {
				query(f, dst, to)
			}
		}
		for src, dst := range map[string]string{"127.0.0.6": nstest.PodV4, "::6": nstest.PodV6} {
			add(flow{uid: int(o.UID), gid: int(o.GID), src: src}, dst, 8080)
		}
	}
	for _, dst := range arrivals {
		for _, to := range append([]uint16{15021, 15090}, tcpPorts...) {
			add(flow{in: true}, dst, to)
		}
		query(flow{in: true}, dst, 53)
	}
	return all
}

// matrixPod listens wherever a cell may go.
func matrixPod(t *testing.T) *nstest.Pod {
	pod := nstest.NewPod(t)
	pod.ServeTransparent(t, 15006)
	pod.Serve(t, append([]uint16{15001, 15053, 15021, 15090}, tcpPorts...)...)
	pod.Peer.Serve(t, tcpPorts...)
	pod.ServeUDP(t, 1337, 15053)
	pod.ServeUDP(t, 0, udpPorts...)
	pod.Peer.ServeUDP(t, 0, udpPorts...)
	return pod
}

// matrixPlans are all plans that scenarios are made of.
func matrixPlans() map[string][]flow {
	all := scenarios()
	maps.Copy(all, dnsScenarios())
	maps.Copy(all, listedScenarios())
	maps.Copy(all, tproxyScenarios())
	maps.Copy(all, virtualScenarios())
	for _, line := range []string{late, late + " -m TPROXY"} {
		all[line], all[armed+line] = nil, nil
	}
	return all
}

// armed stands before a line whose rules are armed late, and are by now.
const armed = "armed: "

// arm does what the agent does once the proxy is ready.
func arm(backend string, p *plan.Plan) error {
	p.First.Armed = []plan.Element{{Proto: plan.TCP}, {Proto: plan.UDP}}
	_, sets, end, err := capture.Open(capture.Record{Evidence: capture.Evidence{Backend: backend}, Plan: p}, "test")
	if err != nil {
		return err
	}
	return errors.Join(sets.AddElements(plan.SetArmed, p.First.Armed), end())
}

func TestMatrix(t *testing.T) {
	t.Parallel()
	matrix(t, capture.Nftables, apply, 1)
}

// iptables gets a part of the cells: another one on each variant.
func TestMatrixOfIptables(t *testing.T) {
	t.Parallel()
	eachIptables(t, func(t *testing.T, backend string, apply applier) { matrix(t, backend, apply, 9) })
}

// matrix tries each nth cell of each plan; each plan has a pod of its own.
func matrix(t *testing.T, backend string, apply applier, nth int) {
	var all counts
	t.Run("plans", func(t *testing.T) {
		for line := range matrixPlans() {
			t.Run(line, func(t *testing.T) {
				t.Parallel()
				all.add(column(t, backend, apply, line, nth))
			})
		}
	})
	t.Logf("%d cells: %v", all.cells, all.of)
	for _, v := range []plan.Verdict{left, inbound, outbound, dns} {
		if all.of[v] < 50/nth {
			t.Errorf("%d cells are %s: this proves little", all.of[v], v)
		}
	}
}

// counts are cells by verdict, of all plans.
type counts struct {
	sync.Mutex
	cells int
	of    map[plan.Verdict]int
}

func (c *counts) add(verdicts map[plan.Verdict]int) {
	c.Lock()
	defer c.Unlock()
	if c.of == nil {
		c.of = map[plan.Verdict]int{}
	}
	for verdict, n := range verdicts {
		c.cells += n
		c.of[verdict] += n
	}
}

// column tries each nth cell of one plan.
func column(t *testing.T, backend string, apply applier, line string, nth int) map[plan.Verdict]int {
	pod := matrixPod(t)
	var p *plan.Plan
	line, isArmed := strings.CutPrefix(line, armed)
	pod.Must(t, func() (err error) {
		if p, _, err = apply(line); err == nil && isArmed {
			err = arm(backend, p)
		}
		return err
	})
	wrong, verdicts := 0, map[plan.Verdict]int{}
	for i, f := range cells() {
		if i%nth != 0 || f.src == "::6" && (!p.Families.V6 || p.Empty() || p.Mode == plan.Listed) {
			continue
		}
		verdict, err := f.cell(pod, p)
		verdicts[verdict]++
		if err != nil {
			wrong++
			t.Errorf("%+v: %v", f, err)
		}
		if wrong > 10 {
			t.Fatal("and so on")
		}
	}
	return verdicts
}

// cell makes one connection and holds what became of it against Eval.
func (f flow) cell(pod *nstest.Pod, p *plan.Plan) (plan.Verdict, error) {
	dial := nstest.Dial{UID: f.uid, GID: f.gid, Port: f.port, Dst: netip.MustParseAddrPort(f.dst)}
	if f.src != "" {
		dial.Src = netip.MustParseAddr(f.src)
	}
	from, connect := pod.Namespace, nstest.Connect
	if f.in {
		from = pod.Peer
	}
	if f.udp {
		connect = nstest.Query
	}
	var got nstest.Answer
	err := from.Do(func() (err error) {
		got, err = connect(dial)
		return err
	})
	trace := p.Eval(f.packet(got.Local))
	switch {
	case err != nil:
		return trace.Verdict, fmt.Errorf("Eval says %s at port %d by %q, but: %w", trace.Verdict, trace.Port, trace.Decided, err)
	case got.Port != trace.Port:
		return trace.Verdict, fmt.Errorf("it arrived at port %d, Eval says %s at %d by %q", got.Port, trace.Verdict, trace.Port, trace.Decided)
	case trace.Verdict != left && !f.udp && got.Original != dial.Dst:
		return trace.Verdict, fmt.Errorf("SO_ORIGINAL_DST is %s", got.Original)
	case trace.Verdict == left && got.Original.IsValid() && got.Original != dial.Dst:
		return trace.Verdict, errors.New("somebody rewrote a connection that is left alone")
	}
	return trace.Verdict, nil
}
