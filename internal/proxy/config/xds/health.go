package xds

import (
	"encoding/hex"
	"strings"
	"time"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
)

// defaultBreaker are Envoy's thresholds.
var defaultBreaker = config.Breaker{Connections: 1024, Pending: 1024, Requests: 1024, Retries: 3}

// Envoy's defaults of a retry budget.
const (
	defaultBudget    = 20
	defaultBudgetMin = 3
)

func (d *decoder) breakers(c *clusterv3.CircuitBreakers, out *config.Cluster) {
	out.Breakers = [2]config.Breaker{defaultBreaker, defaultBreaker}
	for i, t := range c.GetThresholds() {
		d.at("circuit_breakers.thresholds", i, func() {
			if t.GetPriority() < 0 || int(t.GetPriority()) >= len(out.Breakers) {
				d.failIn("priority", "unknown priority %d", t.GetPriority())
				return
			}
			out.Breakers[t.GetPriority()] = d.breaker(t)
		})
	}
	d.noEffect(len(c.GetPerHostThresholds()) > 0, "circuit_breakers.per_host_thresholds")
}

func (d *decoder) breaker(t *clusterv3.CircuitBreakers_Thresholds) config.Breaker {
	out := config.Breaker{
		Connections:    number(t.GetMaxConnections(), defaultBreaker.Connections),
		Pending:        number(t.GetMaxPendingRequests(), defaultBreaker.Pending),
		Requests:       number(t.GetMaxRequests(), defaultBreaker.Requests),
		Retries:        number(t.GetMaxRetries(), defaultBreaker.Retries),
		TrackRemaining: t.GetTrackRemaining(),
	}
	d.noEffect(t.GetMaxConnectionPools() != nil, "max_connection_pools")
	if b := t.GetRetryBudget(); b != nil {
		out.BudgetPercent = float64(d.percent("retry_budget.budget_percent", b.BudgetPercent, defaultBudget*perMillion/100)) / (perMillion / 100)
		out.BudgetMin = number(b.MinRetryConcurrency, defaultBudgetMin)
	}
	return out
}

// outlier decodes outlier detection with Envoy's defaults.
func (d *decoder) outlier(o *clusterv3.OutlierDetection, out *config.Cluster) {
	if o == nil {
		return
	}
	d.in("outlier_detection", func() {
		v := &config.Outlier{
			Interval:       d.duration("interval", o.Interval, 10*time.Second),
			BaseEjection:   d.duration("base_ejection_time", o.BaseEjectionTime, 30*time.Second),
			Jitter:         d.duration("max_ejection_time_jitter", o.MaxEjectionTimeJitter, 0),
			Consecutive5xx: number(o.Consecutive_5Xx, 5), ConsecutiveGateway: number(o.ConsecutiveGatewayFailure, 5),
			ConsecutiveLocal: number(o.ConsecutiveLocalOriginFailure, 5),
			SplitLocal:       o.SplitExternalLocalOriginErrors, AlwaysEjectOne: truth(o.AlwaysEjectOneHost, false),
			SuccessRateHosts: number(o.SuccessRateMinimumHosts, 5), SuccessRateVolume: number(o.SuccessRateRequestVolume, 100),
			SuccessRateFactor: number(o.SuccessRateStdevFactor, 1900),
			FailureThreshold:  number(o.FailurePercentageThreshold, 85), FailureHosts: number(o.FailurePercentageMinimumHosts, 5),
			FailureVolume: number(o.FailurePercentageRequestVolume, 50),
		}
		v.MaxEjection = d.duration("max_ejection_time", o.MaxEjectionTime, max(300*time.Second, v.BaseEjection))
		d.enforcements(o, v)
		out.Outlier = v
	})
}

func (d *decoder) enforcements(o *clusterv3.OutlierDetection, v *config.Outlier) {
	v.MaxEjectedPercent = d.hundred("max_ejection_percent", number(o.MaxEjectionPercent, 10))
	v.Enforce5xx = d.hundred("enforcing_consecutive_5xx", number(o.EnforcingConsecutive_5Xx, 100))
	v.EnforceGateway = d.hundred("enforcing_consecutive_gateway_failure", number(o.EnforcingConsecutiveGatewayFailure, 0))
	v.EnforceLocal = d.hundred("enforcing_consecutive_local_origin_failure", number(o.EnforcingConsecutiveLocalOriginFailure, 100))
	v.EnforceSuccessRate = d.hundred("enforcing_success_rate", number(o.EnforcingSuccessRate, 100))
	v.EnforceFailure = d.hundred("enforcing_failure_percentage", number(o.EnforcingFailurePercentage, 0))
}

func (d *decoder) hundred(field string, n uint32) uint32 {
	if n > 100 {
		d.failIn(field, "%d is above 100", n)
	}
	return n
}

func (d *decoder) healthChecks(list []*corev3.HealthCheck, out *config.Cluster) {
	for i, c := range list {
		d.at("health_checks", i, func() { out.Checks = append(out.Checks, d.healthCheck(c)) })
	}
}

func (d *decoder) healthCheck(c *corev3.HealthCheck) config.HealthCheck {
	out := config.HealthCheck{
		Timeout: d.duration("timeout", c.GetTimeout(), 0), Interval: d.duration("interval", c.GetInterval(), 0),
		Jitter:    d.duration("interval_jitter", c.GetIntervalJitter(), 0),
		Unhealthy: number(c.GetUnhealthyThreshold(), 0), Healthy: number(c.GetHealthyThreshold(), 0),
	}
	if out.Timeout == 0 || out.Interval == 0 {
		d.fail("timeout and interval must be above zero")
	}
	if c.GetUnhealthyThreshold() == nil || c.GetHealthyThreshold() == nil {
		d.fail("without unhealthy_threshold or healthy_threshold")
	}
	d.checker(c, &out)
	d.noEffect(!truth(c.GetReuseConnection(), true), "reuse_connection")
	d.noEffect(c.GetTlsOptions() != nil || c.GetTransportSocketMatchCriteria() != nil, "tls_options")
	return out
}

func (d *decoder) checker(c *corev3.HealthCheck, out *config.HealthCheck) {
	switch s := c.GetHealthChecker().(type) {
	case *corev3.HealthCheck_HttpHealthCheck_:
		d.in("http_health_check", func() { d.httpCheck(s.HttpHealthCheck, out) })
	case *corev3.HealthCheck_TcpHealthCheck_:
		out.Kind = config.CheckTCP
		d.in("tcp_health_check", func() { d.tcpCheck(s.TcpHealthCheck, out) })
	case *corev3.HealthCheck_GrpcHealthCheck_:
		out.Kind = config.CheckGRPC
		out.Service, out.Host = s.GrpcHealthCheck.GetServiceName(), s.GrpcHealthCheck.GetAuthority()
	default:
		d.fail("this kind of health check is not supported")
	}
}

func (d *decoder) httpCheck(h *corev3.HealthCheck_HttpHealthCheck, out *config.HealthCheck) {
	out.Host, out.Path, out.Method = h.GetHost(), h.GetPath(), "GET"
	if h.GetMethod() != corev3.RequestMethod_METHOD_UNSPECIFIED {
		out.Method = h.GetMethod().String()
	}
	if !strings.HasPrefix(out.Path, "/") {
		d.failIn("path", "doesn't begin with a slash")
	}
	for i, r := range h.GetExpectedStatuses() {
		d.at("expected_statuses", i, func() {
			if r.GetStart() < 100 || r.GetEnd() > 600 || r.GetStart() >= r.GetEnd() {
				d.fail("%d to %d is not a range of statuses", r.GetStart(), r.GetEnd())
				return
			}
			out.Statuses = append(out.Statuses, config.PortRange{Start: uint32(r.GetStart()), End: uint32(r.GetEnd())})
		})
	}
}

func (d *decoder) tcpCheck(t *corev3.HealthCheck_TcpHealthCheck, out *config.HealthCheck) {
	out.Send = d.payload("send", t.GetSend())
	for _, p := range t.GetReceive() {
		out.Receive = append(out.Receive, d.payload("receive", p))
	}
}

// payload is text in hexadecimal, or bytes.
func (d *decoder) payload(field string, p *corev3.HealthCheck_Payload) []byte {
	if len(p.GetBinary()) > 0 {
		return p.GetBinary()
	}
	out, err := hex.DecodeString(p.GetText())
	if err != nil {
		d.failIn(field, "not in hexadecimal")
	}
	return out
}
