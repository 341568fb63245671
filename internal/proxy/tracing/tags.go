package tracing

import (
	"slices"
	"strconv"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
	"github.com/pillion-mesh/pillion/internal/proxy/format"
	"github.com/pillion-mesh/pillion/internal/proxy/stream"
)

// usualTags is how many tags a span has.
const usualTags = 24

// longest bounds a tag's value in bytes: a header may be as long as a head.
const longest = 4096

// requestTags are Envoy's of a request.
func requestTags(list []attribute, x *stream.Exchange, mostPath int) []attribute {
	r := &x.Request
	header := func(name, of string) {
		if value, there := r.Fields.Get(of); there {
			list = append(list, attribute{name, value})
		}
	}
	header("guid:x-request-id", "x-request-id")
	list = append(list, attribute{"http.url", asked(x, mostPath)}, attribute{"http.method", r.Method},
		attribute{"downstream_cluster", dash(r.Fields.Value("x-envoy-downstream-service-cluster"))},
		attribute{"user_agent", dash(r.Fields.Value("user-agent"))},
		attribute{"http.protocol", dash(x.Protocol.String())},
		attribute{"peer.address", x.Conn.Remote.Addr().String()})
	header("guid:x-client-trace-id", "x-client-trace-id")
	if x.GRPC {
		list = grpcTags(list, x)
	}
	return append(list, attribute{"request_size", number(x.Received)}, attribute{"response_size", number(x.Sent)})
}

func grpcTags(list []attribute, x *stream.Exchange) []attribute {
	r := &x.Request
	list = append(list, attribute{"grpc.path", r.Path}, attribute{"grpc.authority", r.Authority},
		attribute{"grpc.content_type", r.Fields.Value("content-type")})
	if timeout, there := r.Fields.Get("grpc-timeout"); there {
		list = append(list, attribute{"grpc.timeout", timeout})
	}
	if x.GRPCStatus < 0 {
		return list
	}
	list = append(list, attribute{"grpc.status_code", strconv.Itoa(x.GRPCStatus)})
	for _, f := range [...]*stream.Fields{&x.ResponseTrailers, &x.Response.Fields} {
		if message, there := f.Get("grpc-message"); there {
			return append(list, attribute{"grpc.message", message})
		}
	}
	return list
}

// upstreamTags are Envoy's of an attempt.
func upstreamTags(list []attribute, x *stream.Exchange) []attribute {
	list = append(list, attribute{"http.protocol", dash(x.Upstream.Protocol.String())})
	if x.Upstream.Remote.IsValid() {
		address := x.Upstream.Remote.String()
		list = append(list, attribute{"upstream_address", address}, attribute{"peer.address", address})
	}
	return list
}

// commonTags are those of both.
func commonTags(list []attribute, x *stream.Exchange) []attribute {
	list = append(list, attribute{"component", "proxy"})
	if x.Cluster != nil {
		observed := x.Cluster.StatName
		if observed == "" {
			observed = x.Cluster.Name
		}
		list = append(list, attribute{"upstream_cluster", x.Cluster.Name}, attribute{"upstream_cluster.name", observed})
	}
	list = append(list, attribute{"http.status_code", strconv.Itoa(x.Response.Status)}, attribute{"response_flags", dash(x.Flags.String())})
	if x.Response.Status == 0 || x.Response.Status >= 500 {
		list = append(list, attribute{"error", "true"})
	}
	return list
}

// asked is the URL that was asked for: the path before a rewrite, cut after most bytes.
func asked(x *stream.Exchange, most int) string {
	r := &x.Request
	path := r.Path
	if r.OriginalPath != "" {
		path = r.OriginalPath
	}
	scheme := r.Scheme
	if proto, there := r.Fields.Get("x-forwarded-proto"); there {
		scheme = proto
	}
	return scheme + "://" + r.Authority + path[:min(most, len(path))]
}

func dash(text string) string {
	if text == "" {
		return "-"
	}
	return text
}

func number(n uint64) string { return strconv.FormatUint(n, 10) }

// tag is a custom tag, made ready.
type tag struct {
	name, missing string
	value         *format.Format
}

func compileTags(list []config.TraceTag) (out []tag) {
	for i := range list {
		if value := compile(&list[i].Value); value != nil {
			out = append(out, tag{list[i].Name, list[i].Missing, value})
		}
	}
	return out
}

// customTags are the manager's and the route's, which replace others of their name.
func (t *Tracer) customTags(list []attribute, x *stream.Exchange) []attribute {
	tags := t.tags
	if r := x.Route; r != nil && r.Tracing != nil && len(r.Tracing.Tags) > 0 {
		tags = append(slices.Clone(tags), compileTags(r.Tracing.Tags)...)
	}
	for _, each := range tags {
		value := written(each.value, x)
		if value == "" {
			value = each.missing
		}
		if value == "" {
			continue
		}
		list = slices.DeleteFunc(list, func(old attribute) bool { return old.name == each.name })
		list = append(list, attribute{each.name, value})
	}
	return list
}

// clip shortens a value to what a tag may have, at the start of a character.
func clip(value string) string {
	if len(value) <= longest {
		return value
	}
	end := longest
	for end > 0 && value[end]&0xc0 == 0x80 {
		end--
	}
	return value[:end]
}
