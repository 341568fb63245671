package upstream

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
)

// ports are hosts 127.0.0.1:90 … with equal weights, as Envoy's own tests have them.
func ports(n int) []keyed {
	hosts := make([]keyed, n)
	for i := range hosts {
		at := netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), uint16(90+i))
		hosts[i] = keyed{&Host{Address: at}, at.String(), 1 / float64(n)}
	}
	return hosts
}

// TestRingIsEnvoys: the points Envoy's ring has for the same hosts.
func TestRingIsEnvoys(t *testing.T) {
	r := newRing(ports(6), &config.LB{RingMin: 12}).(*ring)
	var got []string
	for _, p := range r.points {
		got = append(got, fmt.Sprint(r.hosts[p.host].host.Address.Port(), " ", p.hash))
	}
	want := []string{
		"94 833437586790550860", "92 928266305478181108", "90 1033482794131418490", "95 3551244743356806947",
		"93 3851675632748031481", "91 5583722120771150861", "91 6311230543546372928", "93 7700377290971790572",
		"95 13144177310400110813", "92 13444792449719432967", "94 15516499411664133160", "90 16117243373044804889",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s", strings.Join(got, "\n"))
	}
	for _, c := range []struct {
		hash    uint64
		attempt uint32
		port    uint16
	}{
		{0, 0, 94}, {833437586790550860, 0, 94}, {833437586790550861, 0, 92}, {3551244743356806947, 0, 95},
		{3551244743356806948, 0, 93}, {16117243373044804889, 0, 90}, {16117243373044804890, 0, 94}, {1<<64 - 1, 0, 94},
		{0, 1, 92}, {0, 2, 90}, {1<<64 - 1, 12, 94},
	} {
		if got := r.find(c.hash, c.attempt).Address.Port(); got != c.port {
			t.Errorf("%d, attempt %d: %d, want %d", c.hash, c.attempt, got, c.port)
		}
	}
}

// TestMaglevIsEnvoys: the table Envoy has for the same hosts.
func TestMaglevIsEnvoys(t *testing.T) {
	m := newMaglev(ports(6), &config.LB{TableSize: 7}).(*maglev)
	var got []uint16
	for _, i := range m.places {
		got = append(got, m.hosts[i].host.Address.Port())
	}
	if want := []uint16{92, 94, 90, 91, 95, 90, 93}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// TestWeightedMaglevIsEnvoys: hosts of weights 1 and 2.
func TestWeightedMaglevIsEnvoys(t *testing.T) {
	hosts := ports(2)
	hosts[0].weight, hosts[1].weight = 1./3, 2./3
	m := newMaglev(hosts, &config.LB{TableSize: 17}).(*maglev)
	if want := []uint32{1, 0, 0, 1, 0, 1, 1, 0, 1, 1, 1, 1, 1, 0, 1, 0, 1}; !slices.Equal(m.places, want) {
		t.Errorf("got %v, want %v", m.places, want)
	}
	if got := m.find(1, 1).Address.Port(); got != m.hosts[m.places[(1^(1<<64-1))%17]].host.Address.Port() {
		t.Errorf("a second attempt leads to %d", got)
	}
}

// TestTableSize: a table whose size isn't prime would never be full.
func TestTableSize(t *testing.T) {
	for size, want := range map[uint64]uint64{0: 65537, 1: 65537, 2: 2, 7: 7, 8: 65537, 5000011: 5000011, 5000012: 65537, 1 << 63: 65537} {
		if got := tableSize(size); got != want {
			t.Errorf("%d: %d, want %d", size, got, want)
		}
	}
}

// TestHashesStay: a hash leads to the same host each time, and most hashes stay where they are when a host comes or goes.
func TestHashesStay(t *testing.T) {
	f := newFixture(t)
	for policy, most := range map[config.LBPolicy]float64{config.LBRingHash: 0.2, config.LBMaglev: 0.15} {
		before := f.apply(weighted(policy, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1))
		after := f.apply(weighted(policy, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1), before.Config())
		moved, n := 0, 10000
		for i := range n {
			choice := &Choice{Hash: mix(uint64(i)), Hashed: true}
			a, _ := before.Pick(choice, nil)
			again, _ := before.Pick(choice, nil)
			b, _ := after.Pick(choice, nil)
			if a != again {
				t.Fatal("the same hash led elsewhere")
			}
			if a.Address != b.Address {
				moved++
			}
		}
		if part := float64(moved) / float64(n); part < 0.05 || part > most {
			t.Errorf("policy %d: %v of all hashes moved to the 11th host", policy, part)
		}
	}
}

// TestHashKeys: hash_key of metadata, the host name if that is configured, the address.
func TestHashKeys(t *testing.T) {
	hosts := []*config.Endpoint{
		{Address: netip.MustParseAddrPort("[fd00::1]:80")},
		{Address: numbered(1), Hostname: "b.example"},
		{Address: numbered(2), Hostname: "c.example", Metadata: map[string]map[string]any{"envoy.lb": {"hash_key": "x"}}},
		{Pipe: "/run/d"},
	}
	f := newFixture(t)
	members := f.apply(static("a", hosts...)).current().members
	for byName, want := range map[bool]string{false: "[fd00::1]:80 10.0.0.1:80 x /run/d", true: "[fd00::1]:80 b.example x /run/d"} {
		var got []string
		for _, k := range keys(members, make([]float64, 4), byName) {
			got = append(got, k.key)
		}
		if strings.Join(got, " ") != want {
			t.Errorf("by name %v: %v, want %s", byName, got, want)
		}
	}
}

// TestBalanceFactor: no host has more than its share times the factor, however often one hash comes.
func TestBalanceFactor(t *testing.T) {
	f := newFixture(t)
	for _, policy := range []config.LBPolicy{config.LBRingHash, config.LBMaglev} {
		cfg := weighted(policy, 1, 1, 1, 1)
		cfg.LB.BalanceFactor = 150
		c := f.apply(cfg)
		for i := range 100 {
			h, _ := c.Pick(&Choice{Hash: 7, Hashed: true}, nil)
			h.Active.Add(1)
			if n := h.Active.Load(); float64(n) > float64(i+1)/4*1.5+1 {
				t.Fatalf("one host has %d of %d requests", n, i+1)
			}
		}
	}
}
