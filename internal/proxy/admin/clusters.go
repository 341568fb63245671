package admin

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"strconv"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
	"github.com/pillion-mesh/pillion/internal/proxy/upstream"
)

func (a *api) clusters(w http.ResponseWriter, r *http.Request) {
	switch form := r.URL.Query().Get("format"); form {
	case "", "text":
		streamed(w, "text/plain; charset=utf-8", a.clustersText)
	case "json":
		streamed(w, jsonType, a.clustersJSON)
	default:
		failWith(w, badRequest("the format "+strconv.Quote(form)+" is not text or json"))
	}
}

func (a *api) clustersText(to io.Writer) error {
	out := bufio.NewWriter(to) // keeps its first error until Flush
	a.Clusters.Statuses(func(s *upstream.Status) bool {
		writeCluster(out, s)
		return out.Buffered() >= 0
	})
	return out.Flush()
}

func writeCluster(out *bufio.Writer, s *upstream.Status) {
	say := func(name string, value any) { _, _ = fmt.Fprintf(out, "%s::%s::%v\n", s.Name, name, value) }
	say("observability_name", statName(s))
	if s.Outlier {
		say("outlier::success_rate_average", rate(s.SuccessRate))
		say("outlier::success_rate_ejection_threshold", rate(s.EjectionThreshold))
		say("outlier::local_origin_success_rate_average", rate(s.LocalSuccessRate))
		say("outlier::local_origin_success_rate_ejection_threshold", rate(s.LocalThreshold))
	}
	for i, priority := range [...]string{"default_priority", "high_priority"} {
		b := &s.Breakers[i].Limits
		say(priority+"::max_connections", b.Connections)
		say(priority+"::max_pending_requests", b.Pending)
		say(priority+"::max_requests", b.Requests)
		say(priority+"::max_retries", b.Retries)
	}
	say("added_via_api", s.ViaAPI)
	if s.ServiceName != "" {
		say("eds_service_name", s.ServiceName)
	}
	for i := range s.Hosts {
		writeHost(out, s.Name, &s.Hosts[i])
	}
}

func statName(s *upstream.Status) string {
	if s.StatName == "" {
		return s.Name
	}
	return s.StatName
}

// rate is a percentage; unknown is -1.
func rate(percent float64) string { return strconv.FormatFloat(percent, 'g', 6, 64) }

func writeHost(out *bufio.Writer, cluster string, h *upstream.HostStatus) {
	for _, line := range [...]struct {
		name  string
		value any
	}{
		{"cx_active", h.CxActive}, {"cx_connect_fail", h.CxConnectFail}, {"cx_total", h.CxTotal},
		{"rq_active", h.RqActive}, {"rq_error", h.RqError}, {"rq_success", h.RqSuccess},
		{"rq_timeout", h.RqTimeout}, {"rq_total", h.RqTotal},
		{"hostname", h.Hostname}, {"health_flags", h.HealthFlags}, {"weight", h.Weight},
		{"region", h.Region}, {"zone", h.Zone}, {"sub_zone", h.SubZone}, {"canary", h.Canary}, {"priority", h.Priority},
		{"success_rate", rate(h.SuccessRate)}, {"local_origin_success_rate", rate(h.LocalSuccessRate)},
	} {
		_, _ = fmt.Fprintf(out, "%s::%s::%s::%v\n", cluster, h.Address, line.name, line.value)
	}
}

// The messages of envoy.admin.v3.Clusters, as protojson writes them.
type (
	clusterJSON struct {
		Name        string       `json:"name"`
		ViaAPI      bool         `json:"added_via_api,omitempty"`
		SuccessRate *percentJSON `json:"success_rate_ejection_threshold,omitempty"`
		Hosts       []hostJSON   `json:"host_statuses,omitempty"`
		LocalRate   *percentJSON `json:"local_origin_success_rate_ejection_threshold,omitempty"`
		Breakers    breakersJSON `json:"circuit_breakers"`
		StatName    string       `json:"observability_name,omitempty"`
		ServiceName string       `json:"eds_service_name,omitempty"`
	}
	percentJSON struct {
		Value float64 `json:"value"`
	}
	breakersJSON struct {
		Thresholds []thresholdJSON `json:"thresholds"`
	}
	thresholdJSON struct {
		Priority    string `json:"priority,omitempty"`
		Connections uint32 `json:"max_connections"`
		Pending     uint32 `json:"max_pending_requests"`
		Requests    uint32 `json:"max_requests"`
		Retries     uint32 `json:"max_retries"`
	}
	hostJSON struct {
		Address     addressJSON   `json:"address"`
		Stats       []counterJSON `json:"stats"`
		Health      healthJSON    `json:"health_status"`
		SuccessRate *percentJSON  `json:"success_rate,omitempty"`
		Weight      uint32        `json:"weight"`
		Hostname    string        `json:"hostname,omitempty"`
		Priority    uint32        `json:"priority,omitempty"`
		LocalRate   *percentJSON  `json:"local_origin_success_rate,omitempty"`
		Locality    localityJSON  `json:"locality"`
	}
	counterJSON struct {
		Type  string  `json:"type,omitempty"` // COUNTER is the default
		Value *number `json:"value,omitempty"`
		Name  string  `json:"name"`
	}
	healthJSON struct {
		FailedActive  bool   `json:"failed_active_health_check,omitempty"`
		FailedOutlier bool   `json:"failed_outlier_check,omitempty"`
		PendingActive bool   `json:"pending_active_hc,omitempty"`
		Excluded      bool   `json:"excluded_via_immediate_hc_fail,omitempty"`
		EDS           string `json:"eds_health_status"`
	}
	localityJSON struct {
		Region  string `json:"region,omitempty"`
		Zone    string `json:"zone,omitempty"`
		SubZone string `json:"sub_zone,omitempty"`
	}
	addressJSON struct {
		Socket *socketJSON `json:"socket_address,omitempty"`
		Pipe   *pipeJSON   `json:"pipe,omitempty"`
	}
	socketJSON struct {
		Address string `json:"address"`
		Port    uint16 `json:"port_value"`
	}
	pipeJSON struct {
		Path string `json:"path"`
	}
)

// clustersJSON writes one cluster at a time.
func (a *api) clustersJSON(to io.Writer) error {
	out := bufio.NewWriter(to)
	_, _ = out.WriteString("{\n \"cluster_statuses\": [\n")
	first := true
	var failed error
	a.Clusters.Statuses(func(s *upstream.Status) bool {
		if !first {
			_ = out.WriteByte(',')
		}
		first = false
		failed = encode(out, clusterOf(s))
		return failed == nil
	})
	if failed != nil {
		return failed
	}
	_, _ = out.WriteString(" ]\n}\n")
	return out.Flush()
}

func clusterOf(s *upstream.Status) *clusterJSON {
	c := &clusterJSON{Name: s.Name, ViaAPI: s.ViaAPI, StatName: statName(s), ServiceName: s.ServiceName,
		SuccessRate: percentOf(s.EjectionThreshold), LocalRate: percentOf(s.LocalThreshold)}
	for i, priority := range [...]string{"", "HIGH"} {
		b := &s.Breakers[i].Limits
		c.Breakers.Thresholds = append(c.Breakers.Thresholds, thresholdJSON{priority, b.Connections, b.Pending, b.Requests, b.Retries})
	}
	for i := range s.Hosts {
		c.Hosts = append(c.Hosts, hostOf(&s.Hosts[i]))
	}
	return c
}

func percentOf(value float64) *percentJSON {
	if value < 0 {
		return nil
	}
	return &percentJSON{value}
}

var healthNames = map[config.Health]string{
	config.Healthy: "HEALTHY", config.Degraded: "DEGRADED", config.Unhealthy: "UNHEALTHY", config.Draining: "DRAINING",
}

func hostOf(h *upstream.HostStatus) hostJSON {
	return hostJSON{
		Address: addressOf(h.Address), Hostname: h.Hostname, Weight: h.Weight, Priority: h.Priority,
		Health: healthJSON{h.FailedActive, h.FailedOutlier, h.PendingActive, h.Excluded, healthNames[h.Health]},
		Stats: []counterJSON{
			counter("cx_connect_fail", h.CxConnectFail), counter("cx_total", h.CxTotal), counter("rq_error", h.RqError),
			counter("rq_success", h.RqSuccess), counter("rq_timeout", h.RqTimeout), counter("rq_total", h.RqTotal),
			gauge("cx_active", h.CxActive), gauge("rq_active", h.RqActive),
		},
		SuccessRate: percentOf(h.SuccessRate), LocalRate: percentOf(h.LocalSuccessRate),
		Locality: localityJSON{h.Region, h.Zone, h.SubZone},
	}
}

func counter(name string, value uint64) counterJSON {
	return counterJSON{"", numberOf(int64(value)), name}
}
func gauge(name string, value int64) counterJSON { return counterJSON{"GAUGE", numberOf(value), name} }

// numberOf leaves out zero, as protojson does.
func numberOf(value int64) *number {
	if value == 0 {
		return nil
	}
	n := number(value)
	return &n
}

func addressOf(text string) addressJSON {
	address, err := netip.ParseAddrPort(text)
	if err != nil {
		return addressJSON{Pipe: &pipeJSON{text}}
	}
	return addressJSON{Socket: &socketJSON{address.Addr().String(), address.Port()}}
}
