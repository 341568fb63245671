package ratelimit

import (
	"slices"
	"strconv"
	"strings"

	"github.com/pillion-mesh/pillion/internal/proxy/httpfilter/filter"
	"github.com/pillion-mesh/pillion/internal/proxy/stream"
)

// metadataSpace is where fields for the answer to a request that passed wait in its metadata.
const metadataSpace = "pillion.ratelimit"

// apply makes the service's answer come true.
func (f *limit) apply(x *stream.Exchange, a *answer) *filter.Reply {
	for key, value := range a.metadata {
		filter.SetMetadata(x, f.namespace, key, value)
	}
	if !a.over {
		f.count(x, f.ok)
		f.pass(x, a, f.told(a))
		return nil
	}
	fields := f.overLimit(x, f.told(a))
	if !f.deps.Takes(f.enforced) {
		f.pass(x, a, fields)
		return nil
	}
	return f.refuse(a, fields)
}

// pass lets a request go on, with what the service adds to it and to its answer.
func (f *limit) pass(x *stream.Exchange, a *answer, fields []stream.Field) {
	for _, each := range a.request {
		x.Request.Fields.Add(each.Name, each.Value)
	}
	if len(fields) > 0 {
		filter.SetMetadata(x, metadataSpace, f.kept, fields)
	}
}

// Response adds what the client is to know of a request that passed.
func (f *limit) Response(x *stream.Exchange) {
	fields, _ := x.Metadata[metadataSpace][f.kept].([]stream.Field)
	for _, each := range fields {
		x.Response.Fields.Add(each.Name, each.Value)
	}
}

// overLimit counts a request over the limit, and adds what its answer has besides.
func (f *limit) overLimit(x *stream.Exchange, fields []stream.Field) []stream.Field {
	f.count(x, f.over)
	if c := f.deps.Cluster(x.ClusterName); c != nil {
		c.Shard(x.Conn.ID).Refused(f.status())
	}
	if !f.config.NoLimitedHeader {
		fields = append(fields, stream.Field{Name: "x-envoy-ratelimited", Value: "true"})
	}
	var own stream.Fields
	f.onResponse.Apply(&own, x)
	for i := range own.Len() {
		fields = append(fields, own.At(i))
	}
	return fields
}

func (f *limit) status() int {
	if f.config.Status != 0 {
		return int(f.config.Status)
	}
	return 429
}

func (f *limit) refuse(a *answer, fields []stream.Field) *filter.Reply {
	told := slices.ContainsFunc(fields, func(each stream.Field) bool { return each.Name == "retry-after" })
	if wait, over := a.wait(); f.config.RetryAfter && f.status() == 429 && over && !told {
		fields = append(fields, stream.Field{Name: "retry-after", Value: strconv.FormatUint(wait, 10)})
	}
	return &filter.Reply{
		Status: f.status(), Body: a.body, Details: "request_rate_limited", Flags: stream.RateLimited,
		Fields: fields, GRPCStatus: f.grpcStatus(),
	}
}

// wait is in how many seconds the last of the limits that are exceeded begins anew.
func (a *answer) wait() (seconds uint64, over bool) {
	seconds = 1
	for i := range a.statuses {
		if a.statuses[i].over {
			over, seconds = true, max(seconds, a.statuses[i].reset)
		}
	}
	return seconds, over
}

// told are the fields of an answer, the service's and, if configured, x-ratelimit-….
func (f *limit) told(a *answer) []stream.Field {
	fields := a.response
	if !f.config.RateHeaders {
		return fields
	}
	nearest, policy := a.nearest()
	if nearest == nil {
		return fields
	}
	return append(fields, stream.Field{Name: "x-ratelimit-limit", Value: strconv.FormatUint(nearest.requests, 10) + policy},
		stream.Field{Name: "x-ratelimit-remaining", Value: strconv.FormatUint(nearest.remaining, 10)},
		stream.Field{Name: "x-ratelimit-reset", Value: strconv.FormatUint(nearest.reset, 10)})
}

// nearest is the limit that is closest to being reached, and the policy of all: draft-polli-ratelimit-headers-03.
func (a *answer) nearest() (nearest *status, policy string) {
	var b strings.Builder
	for i := range a.statuses {
		s := &a.statuses[i]
		if !s.limited {
			continue
		}
		if nearest == nil || s.remaining < nearest.remaining {
			nearest = s
		}
		if window := s.window(); window > 0 {
			b.WriteString(", " + strconv.FormatUint(s.requests, 10) + ";w=" + strconv.FormatUint(window, 10))
			if s.name != "" {
				b.WriteString(`;name="` + strings.Map(plain, s.name) + `"`)
			}
		}
	}
	return nearest, b.String()
}

// windows are the units of a limit in seconds, by number.
var windows = [...]uint64{0, 1, 60, 3600, 86400, 30 * 86400, 365 * 86400, 7 * 86400}

func (s *status) window() uint64 {
	if s.unit >= uint64(len(windows)) {
		return 0
	}
	return windows[s.unit] * s.multiplier
}

// plain keeps what may stand in a quoted string as it is.
func plain(r rune) rune {
	if r < ' ' || r > '~' || r == '"' || r == '\\' {
		return '_'
	}
	return r
}
