package xds

import (
	"slices"

	faultcommonv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/common/fault/v3"
	faultv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/fault/v3"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
)

func (d *decoder) fault(t typed) any {
	var m faultv3.HTTPFault
	if !d.into(t, &m) {
		return nil
	}
	out := &config.Fault{
		UpstreamCluster: d.intern(m.UpstreamCluster), Headers: d.headerMatches("headers", m.Headers),
		DownstreamNodes: slices.Clone(m.DownstreamNodes), MaxActive: numberPointer(m.MaxActiveFaults),
	}
	if m.Delay != nil {
		d.in("delay", func() { d.faultDelay(m.Delay, out) })
	}
	if m.Abort != nil {
		d.in("abort", func() { d.faultAbort(m.Abort, out) })
	}
	if m.ResponseRateLimit != nil {
		d.in("response_rate_limit", func() { d.faultRate(m.ResponseRateLimit, out) })
	}
	return out
}

func (d *decoder) faultDelay(f *faultcommonv3.FaultDelay, out *config.Fault) {
	d.in("percentage", func() { out.DelayPerMillion = d.parts(f.Percentage) })
	switch s := f.FaultDelaySecifier.(type) {
	case *faultcommonv3.FaultDelay_FixedDelay:
		out.Delay = d.duration("fixed_delay", s.FixedDelay, 0)
	case *faultcommonv3.FaultDelay_HeaderDelay_:
		out.DelayHeader = true
	default:
		d.fail("neither fixed_delay nor header_delay")
	}
}

func (d *decoder) faultAbort(f *faultv3.FaultAbort, out *config.Fault) {
	d.in("percentage", func() { out.AbortPerMillion = d.parts(f.Percentage) })
	switch s := f.ErrorType.(type) {
	case *faultv3.FaultAbort_HttpStatus:
		if out.AbortHTTP = s.HttpStatus; s.HttpStatus < 200 || s.HttpStatus > 599 {
			d.failIn("http_status", "%d is not between 200 and 599", s.HttpStatus)
		}
	case *faultv3.FaultAbort_GrpcStatus:
		status := s.GrpcStatus
		out.AbortGRPC = &status
	case *faultv3.FaultAbort_HeaderAbort_:
		out.AbortHeader = true
	default:
		d.fail("neither http_status nor grpc_status nor header_abort")
	}
	d.noEffect(f.ResponseBody != "", "response_body")
}

func (d *decoder) faultRate(f *faultcommonv3.FaultRateLimit, out *config.Fault) {
	d.in("percentage", func() { out.RatePerMillion = d.parts(f.Percentage) })
	switch s := f.LimitType.(type) {
	case *faultcommonv3.FaultRateLimit_FixedLimit_:
		if out.RateKBps = s.FixedLimit.GetLimitKbps(); out.RateKBps == 0 {
			d.failIn("fixed_limit.limit_kbps", "zero")
		}
	case *faultcommonv3.FaultRateLimit_HeaderLimit_:
		out.RateHeader = true
	default:
		d.fail("neither fixed_limit nor header_limit")
	}
}
