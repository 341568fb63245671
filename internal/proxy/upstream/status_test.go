package upstream

import (
	"slices"
	"testing"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
)

// TestStatuses: what /clusters needs, in an order that is the same each time.
func TestStatuses(t *testing.T) {
	f := newFixture(t)
	hosts := endpoints(3)
	hosts[0].Hostname, hosts[0].Weight = "a.example", 7
	hosts[1].Health = config.Draining
	hosts[2].Health = config.Degraded
	hosts[2].Metadata = map[string]map[string]any{"envoy.lb": {"canary": true}}
	b := localities("b", config.Locality{Region: "r", Zone: "z", SubZone: "s", Priority: 1, Hosts: hosts})
	b.ViaAPI, b.StatName, b.ServiceName, b.Outlier = true, "alt", "service", envoysOutlier()
	original := &config.Cluster{Name: "a", Kind: config.OriginalDst}
	f.apply(b, original, static("c"))
	for _, i := range []int{3, 1, 2} {
		if _, err := f.Cluster("a").Pick(&Choice{OriginalDst: numbered(i)}, nil); err != nil {
			t.Fatal(err)
		}
	}
	var all []*Status
	f.Statuses(func(s *Status) bool { all = append(all, s); return true })
	if len(all) != 3 || all[0].Name != "a" || all[1].Name != "b" || all[2].Name != "c" || len(all[2].Hosts) != 0 {
		t.Fatalf("clusters: %+v", all)
	}
	var addresses []string
	for _, h := range slices.Concat(all[0].Hosts, all[1].Hosts) {
		addresses = append(addresses, h.Address)
	}
	if want := []string{"10.0.0.1:80", "10.0.0.2:80", "10.0.0.3:80", "10.0.0.0:80", "10.0.0.1:80", "10.0.0.2:80"}; !slices.Equal(addresses, want) {
		t.Errorf("hosts %v, want %v", addresses, want)
	}
	s := all[1]
	if !s.ViaAPI || s.StatName != "alt" || s.ServiceName != "service" || !s.Outlier || s.SuccessRate != -1 || s.EjectionThreshold != -1 || s.Breakers[1].Limits.Requests != 1024 {
		t.Errorf("cluster %+v", s)
	}
	first, second, third := s.Hosts[0], s.Hosts[1], s.Hosts[2]
	if first.Hostname != "a.example" || first.Weight != 7 || first.Region != "r" || first.Zone != "z" || first.SubZone != "s" || first.Priority != 1 || first.HealthFlags != "healthy" {
		t.Errorf("host %+v", first)
	}
	if second.HealthFlags != "/failed_eds_health/eds_status_draining" || second.Weight != 1 || second.Health != config.Draining {
		t.Errorf("host %+v", second)
	}
	if third.HealthFlags != "/degraded_eds_health" || !third.Canary {
		t.Errorf("host %+v", third)
	}
	stopped := 0
	f.Statuses(func(*Status) bool { stopped++; return false })
	if stopped != 1 {
		t.Error("the iteration doesn't stop")
	}
}

// TestMembershipGauges follow hosts that come, go and fall ill.
func TestMembershipGauges(t *testing.T) {
	f := newFixture(t)
	hosts := endpoints(4)
	hosts[0].Health, hosts[1].Health = config.Degraded, config.Unhealthy
	c := f.apply(static("a", hosts...))
	check := func(when string, total, healthy, degraded int64, changes uint64) {
		t.Helper()
		c.current()
		s := c.Stats
		if s.MembershipTotal.Load() != total || s.MembershipHealthy.Load() != healthy || s.MembershipDegraded.Load() != degraded || s.MembershipChange.Load() != changes {
			t.Errorf("%s: total %d, healthy %d, degraded %d, changes %d", when, s.MembershipTotal.Load(), s.MembershipHealthy.Load(), s.MembershipDegraded.Load(), s.MembershipChange.Load())
		}
	}
	check("at first", 4, 2, 1, 1)
	c.Config().Endpoints.Store(&config.Endpoints{Localities: []config.Locality{{Hosts: endpoints(4)}}})
	check("all healthy", 4, 4, 0, 1)
	c.Config().Endpoints.Store(&config.Endpoints{Localities: []config.Locality{{Hosts: endpoints(3)[1:]}}})
	check("two gone", 2, 2, 0, 2)
	f.apply(static("b"))
	if c.Stats.MembershipTotal.Load() != 0 {
		t.Error("a removed cluster has members")
	}
}
