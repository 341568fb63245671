package upstream

import (
	"fmt"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
)

func policies() map[string]config.LBPolicy {
	return map[string]config.LBPolicy{
		"ROUND_ROBIN": config.LBRoundRobin, "LEAST_REQUEST": config.LBLeastRequest, "RANDOM": config.LBRandom,
		"RING_HASH": config.LBRingHash, "MAGLEV": config.LBMaglev,
	}
}

func benchManager(tb testing.TB) *Manager {
	m := NewManager(Options{Tick: -1, LocalAddrs: localAddrs})
	tb.Cleanup(m.Close)
	return m
}

func benchCluster(tb testing.TB, policy config.LBPolicy, hosts int) *Cluster {
	m := benchManager(tb)
	cfg := static("a", endpoints(hosts)...)
	cfg.LB.Policy = policy
	m.Apply(config.NewRuntime(nil, []*config.Cluster{cfg}))
	return m.Cluster("a")
}

// cpu reports the CPU time of an operation: on a busy machine the clock tells more about the others.
func cpu(b *testing.B, do func()) {
	b.ReportAllocs()
	var before, after unix.Rusage
	_ = unix.Getrusage(unix.RUSAGE_SELF, &before)
	for b.Loop() {
		do()
	}
	_ = unix.Getrusage(unix.RUSAGE_SELF, &after)
	used := after.Utime.Nano() + after.Stime.Nano() - before.Utime.Nano() - before.Stime.Nano()
	b.ReportMetric(float64(used)/float64(b.N), "cpu-ns/op")
}

// BenchmarkPick: bar 100 ns and no allocation for 10 hosts.
func BenchmarkPick(b *testing.B) {
	for name, policy := range policies() {
		b.Run(name, func(b *testing.B) {
			c := benchCluster(b, policy, 10)
			choice := Choice{Hash: 12345, Hashed: true}
			cpu(b, func() {
				if _, err := c.Pick(&choice, nil); err != nil {
					b.Fatal(err)
				}
				choice.Hash = choice.Hash*31 + 7
			})
		})
	}
}

// BenchmarkPickOriginal costs a lock and a map; connections are dialled afterwards.
func BenchmarkPickOriginal(b *testing.B) {
	m := benchManager(b)
	m.Apply(config.NewRuntime(nil, []*config.Cluster{{Name: "a", Kind: config.OriginalDst}}))
	c, i := m.Cluster("a"), 0
	cpu(b, func() {
		if _, err := c.Pick(&Choice{OriginalDst: numbered(i % 100)}, nil); err != nil {
			b.Fatal(err)
		}
		i++
	})
}

// BenchmarkTable is what a change of ten hosts costs the next request by hash.
func BenchmarkTable(b *testing.B) {
	for name, build := range map[string]func([]keyed, *config.LB) table{"ring": newRing, "maglev": newMaglev} {
		b.Run(name, func(b *testing.B) {
			hosts := ports(10)
			cpu(b, func() { build(hosts, &config.LB{}) })
		})
	}
}

// TestHostSize: there may be 20 000 of them.
func TestHostSize(t *testing.T) {
	if size := unsafe.Sizeof(Host{}) - unsafe.Sizeof(PoolH1{}); size > 320 {
		t.Errorf("a host takes %d bytes", size)
	}
	if at := unsafe.Offsetof(Host{}.gone); at >= 64 {
		t.Errorf("what updates look at isn't in one cache line, gone is at %d", at)
	}
}

// BenchmarkUpdate: bar 1 ms for a change of one host among 20 000. The new endpoints are all new objects, as a decoder
// makes them.
func BenchmarkUpdate(b *testing.B) {
	for _, n := range []int{10, 20000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			c := benchCluster(b, config.LBLeastRequest, n)
			versions := [2]*config.Endpoints{}
			for i := range versions {
				hosts := endpoints(n)
				hosts[n/2].Address = numbered(n + i)
				versions[i] = &config.Endpoints{Localities: []config.Locality{{Hosts: hosts}}}
			}
			c.current()
			i, least := 0, time.Hour
			cpu(b, func() {
				c.Config().Endpoints.Store(versions[i%2])
				started := time.Now()
				c.current()
				least = min(least, time.Since(started))
				i++
			})
			b.ReportMetric(float64(least), "least-ns/op")
		})
	}
}

// TestPickAllocatesNothing holds the data path to it.
func TestPickAllocatesNothing(t *testing.T) {
	for name, policy := range policies() {
		c := benchCluster(t, policy, 10)
		n := testing.AllocsPerRun(100, func() {
			if _, err := c.Pick(&Choice{Hash: 1, Hashed: true}, nil); err != nil {
				t.Fatal(err)
			}
		})
		if n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}
