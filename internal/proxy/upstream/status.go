package upstream

import (
	"cmp"
	"slices"
	"sort"
	"strings"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
)

// Status is what the admin API shows of a cluster.
type Status struct {
	Name, StatName, ServiceName string
	Config                      *config.Cluster
	ViaAPI                      bool
	Breakers                    [2]BreakerStatus // by priority: default, high
	// SuccessRate and the others are of outlier detection's last interval; -1: unknown. They are shown if Outlier is set.
	Outlier                          bool
	SuccessRate, EjectionThreshold   float64
	LocalSuccessRate, LocalThreshold float64
	Hosts                            []HostStatus
}

// HostStatus is what the admin API shows of a host.
type HostStatus struct {
	Address                                string // IP:PORT, [IPv6]:PORT or the path of a Unix socket
	Host                                   *Host
	CxActive                               int64
	CxConnectFail, CxTotal                 uint64
	RqActive                               int64
	RqError, RqSuccess, RqTimeout, RqTotal uint64
	Hostname                               string
	HealthFlags                            string // healthy, or /failed_active_hc/…
	FailedActive, FailedOutlier            bool
	PendingActive, Excluded                bool
	Health                                 config.Health // as EDS says
	Weight                                 uint32
	Region, Zone, SubZone                  string
	Canary                                 bool
	Priority                               uint32
	SuccessRate, LocalSuccessRate          float64 // percent; -1: unknown
}

// Statuses calls yield for each cluster by the order of names, until it returns false. Hosts are in the order of the
// configuration; original destinations by their addresses.
func (m *Manager) Statuses(yield func(*Status) bool) {
	clusters := *m.clusters.Load()
	names := make([]string, 0, len(clusters))
	for name := range clusters {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		if !yield(clusters[name].Status()) {
			return
		}
	}
}

// Members is how many hosts the cluster has, and how many of them are healthy or degraded.
func (c *Cluster) Members() (total, available int64) {
	c.hosts() // made on first use, and it counts them
	return c.Stats.MembershipTotal.Load(), c.Stats.MembershipHealthy.Load() + c.Stats.MembershipDegraded.Load()
}

// Status is the state of the cluster now.
func (c *Cluster) Status() *Status {
	set := c.current()
	cfg := set.config
	s := &Status{
		Name: c.name, StatName: c.Stats.Name, ServiceName: cfg.ServiceName, Config: cfg, ViaAPI: cfg.ViaAPI,
		Breakers: [2]BreakerStatus{c.Breaker(DefaultPriority), c.Breaker(HighPriority)},
		Outlier:  cfg.Outlier != nil, SuccessRate: -1, EjectionThreshold: -1, LocalSuccessRate: -1, LocalThreshold: -1,
	}
	if set.original {
		s.Hosts = c.originalStatus()
		return s
	}
	s.Hosts = make([]HostStatus, 0, len(set.members))
	for i := range set.members {
		s.Hosts = append(s.Hosts, set.members[i].host.Status())
	}
	c.rates(s)
	return s
}

// rates are the means over hosts and the thresholds of the last interval.
func (c *Cluster) rates(s *Status) {
	cfg := s.Config.Outlier
	if cfg == nil {
		return
	}
	of := func(rate func(*HostStatus) float64) (mean, threshold float64) {
		var grades []grade
		for i := range s.Hosts {
			if r := rate(&s.Hosts[i]); r >= 0 {
				grades = append(grades, grade{rate: r})
			}
		}
		if len(grades) == 0 || len(grades) < int(cfg.SuccessRateHosts) {
			return -1, -1
		}
		mean, deviation := statistics(grades)
		return mean, mean - deviation*float64(cfg.SuccessRateFactor)/1000
	}
	s.SuccessRate, s.EjectionThreshold = of(func(h *HostStatus) float64 { return h.SuccessRate })
	s.LocalSuccessRate, s.LocalThreshold = of(func(h *HostStatus) float64 { return h.LocalSuccessRate })
}

func (c *Cluster) originalStatus() []HostStatus {
	c.mu.Lock()
	defer c.mu.Unlock()
	hosts := make([]HostStatus, 0, len(c.originals.hosts))
	for _, h := range c.originals.hosts {
		hosts = append(hosts, h.Status())
	}
	sort.Slice(hosts, func(i, j int) bool {
		a, b := &hosts[i], &hosts[j]
		return cmp.Or(a.Host.Address.Compare(b.Host.Address), cmp.Compare(a.Address, b.Address)) < 0
	})
	return hosts
}

// Status is the state of the host now.
func (h *Host) Status() HostStatus {
	endpoint, locality := h.Endpoint(), h.Locality()
	s := HostStatus{
		Address: h.String(), Host: h, Hostname: endpoint.Hostname, Health: endpoint.Health,
		CxActive: h.Stats.CxActive.Load(), CxConnectFail: h.Stats.CxConnectFail.Load(), CxTotal: h.Stats.CxTotal.Load(),
		RqActive: h.Active.Load(), RqError: h.Stats.RqError.Load(), RqSuccess: h.Stats.RqSuccess.Load(),
		RqTimeout: h.Stats.RqTimeout.Load(), RqTotal: h.Stats.RqTotal.Load(),
		Weight: max(endpoint.Weight, 1), Priority: locality.Priority, Canary: h.canary(),
		Region: locality.Region, Zone: locality.Zone, SubZone: locality.SubZone,
		FailedActive: h.has(failedActive), FailedOutlier: h.has(failedOutlier), PendingActive: h.has(pendingActive),
		Excluded:    h.has(excluded),
		SuccessRate: -1, LocalSuccessRate: -1,
	}
	s.HealthFlags = s.flags()
	if m := h.outlier.Load(); m != nil {
		s.SuccessRate, s.LocalSuccessRate = rateOf(m.rate.Load()), rateOf(m.localRate.Load())
	}
	return s
}

// flags lists health flags as Envoy does, in its order.
func (s *HostStatus) flags() string {
	var b strings.Builder
	for _, f := range []struct {
		is   bool
		name string
	}{
		{s.FailedActive, "/failed_active_hc"},
		{s.FailedOutlier, "/failed_outlier_check"},
		{s.Health >= config.Unhealthy, "/failed_eds_health"},
		{s.Health == config.Degraded, "/degraded_eds_health"},
		{s.PendingActive, "/pending_active_hc"},
		{s.Excluded, "/excluded_via_immediate_hc_fail"},
		{s.Health == config.Draining, "/eds_status_draining"},
	} {
		if f.is {
			b.WriteString(f.name)
		}
	}
	if b.Len() == 0 {
		return "healthy"
	}
	return b.String()
}
