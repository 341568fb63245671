package ratelimit

import (
	"math"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
	"github.com/pillion-mesh/pillion/internal/proxy/httpfilter/descriptor"
	"github.com/pillion-mesh/pillion/internal/proxy/stream"
	"github.com/pillion-mesh/pillion/internal/proxy/wire"
)

// Fields of RateLimitRequest, envoy/service/ratelimit/v3, and of RateLimitDescriptor, envoy/extensions/common/ratelimit/v3.
const (
	askDomain      = 1
	askDescriptors = 2

	descriptorEntries = 1
	descriptorLimit   = 2
	descriptorHits    = 3
	descriptorRefund  = 4

	entryKey   = 1
	entryValue = 2

	overrideRequests = 1
	overrideUnit     = 2
	wrappedValue     = 1
)

// descriptorOf is what the service is asked about: entries, and what one limit says besides.
type descriptorOf struct {
	entries descriptor.Entries
	of      *config.RateLimitActions
	limit   *override // nil: the service's own
}

// override is a limit the service is to use for this request.
type override struct{ requests, unit uint32 }

// descriptors are those the service is to be asked about. known is false if one can't be made because its actions
// aren't built.
func (f *limit) descriptors(x *stream.Exchange) (list []descriptorOf, known bool) {
	known = true
	f.source.Each(x, func(r *config.RateLimitActions) {
		if r.Disable != "" && !f.deps.Takes(always("ratelimit."+r.Disable+".http_filter_enabled")) {
			return
		}
		known = known && !r.Unbuilt
		if entries, ok := f.source.Make(r.Actions, x); ok {
			list = append(list, descriptorOf{entries, r, overrideOf(r.Limit, x)})
		}
	})
	return list, known
}

// units are those of a limit, by the names of envoy.type.v3.RateLimitUnit.
var units = map[string]uint32{"SECOND": 1, "MINUTE": 2, "HOUR": 3, "DAY": 4, "MONTH": 5, "YEAR": 6}

// overrideOf reads a limit of x's metadata: {requests_per_unit, unit}. What isn't one is none.
func overrideOf(key *config.MetadataKey, x *stream.Exchange) *override {
	if key == nil {
		return nil
	}
	value, _ := key.Find(x.Metadata)
	fields, _ := value.(map[string]any)
	requests, isNumber := fields["requests_per_unit"].(float64)
	name, _ := fields["unit"].(string)
	unit, isUnit := units[name]
	if !isNumber || !isUnit || !(requests >= 0 && requests <= math.MaxUint32) {
		return nil
	}
	return &override{uint32(requests), unit}
}

// question is a RateLimitRequest.
func question(domain string, list []descriptorOf) []byte {
	b := wire.AppendText(nil, askDomain, domain)
	for i := range list {
		b = wire.AppendBytes(b, askDescriptors, list[i].message())
	}
	return b
}

func (d *descriptorOf) message() (b []byte) {
	for _, e := range d.entries {
		b = wire.AppendBytes(b, descriptorEntries, wire.AppendText(wire.AppendText(nil, entryKey, e[0]), entryValue, e[1]))
	}
	if d.limit != nil {
		limit := wire.AppendNumber(nil, overrideRequests, uint64(d.limit.requests))
		b = wire.AppendBytes(b, descriptorLimit, wire.AppendNumber(limit, overrideUnit, uint64(d.limit.unit)))
	}
	if d.of.Hits != nil {
		b = wire.AppendBytes(b, descriptorHits, wire.AppendNumber(nil, wrappedValue, *d.of.Hits))
	}
	if d.of.Refund {
		b = wire.AppendNumber(b, descriptorRefund, 1)
	}
	return b
}
