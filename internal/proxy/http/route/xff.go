package route

import (
	"net/netip"
	"strconv"
	"strings"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
	"github.com/pillion-mesh/pillion/internal/proxy/stream"
)

// Prepare does to the head of a request what comes before filters and routes: who the client is (x.Remote, x.Internal),
// x-forwarded-for, x-forwarded-proto, x-forwarded-port, and which internal headers its sender may not set. It reports
// whether the request came over an edge: from outside to a proxy that stands there. internalOnly are the route table's
// internal_only_headers. If reject isn't 0 the request isn't to go on: that is the status of its answer.
func Prepare(m *config.HTTPManager, x *stream.Exchange, internalOnly []string) (edge bool, reject int) {
	client, alone, reject := trusted(m, x)
	if reject != 0 {
		return false, reject
	}
	if m.UseRemoteAddress {
		overwrite(m, x)
	}
	if client.IsValid() && client != x.Conn.Remote.Addr() {
		x.Remote = client
	}
	setForwarded(m, x)
	x.Internal = alone && m.Internal.Contains(x.Client().Addr())
	edge = m.UseRemoteAddress && !x.Internal
	sanitize(x, edge, internalOnly)
	return edge, 0
}

// trusted returns the client's address, invalid if only the connection tells, and whether x-forwarded-for names no
// other proxy before it; or what detect rejects the request with.
func trusted(m *config.HTTPManager, x *stream.Exchange) (client netip.Addr, alone bool, reject int) {
	if len(m.OriginalIP) > 0 {
		return detect(m, x)
	}
	list, there := x.Request.Fields.Joined("x-forwarded-for")
	if !m.UseRemoteAddress {
		client, alone = fromLast(list, m.TrustedHops)
		return client, alone, 0
	}
	if m.TrustedHops > 0 {
		client, _ = fromLast(list, m.TrustedHops-1)
	}
	return client, !there, 0
}

// fromLast returns the address that stands skip places before the last one, and whether the list has just one.
func fromLast(list string, skip uint32) (netip.Addr, bool) {
	alone := strings.IndexByte(list, ',') < 0
	for ; skip > 0; skip-- {
		comma := strings.LastIndexByte(list, ',')
		if comma < 0 {
			return netip.Addr{}, alone
		}
		list = list[:comma]
	}
	return address(strings.TrimSpace(list[strings.LastIndexByte(list, ',')+1:])), alone
}

// address reads an address, with brackets and a port too. It is invalid if the text is none.
func address(text string) netip.Addr {
	if text == "" || len(text) > 64 {
		return netip.Addr{}
	}
	host, _ := splitPort(text)
	a, err := netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(host, "["), "]"))
	if err != nil || a.Zone() != "" {
		return netip.Addr{}
	}
	return a.Unmap()
}

// overwrite sets what a proxy with use_remote_address says itself.
func overwrite(m *config.HTTPManager, x *stream.Exchange) {
	if !m.SkipXFFAppend {
		peer := x.Conn.Remote.Addr()
		if peer.IsLoopback() {
			peer = x.Conn.Local.Addr()
		}
		appendTo(&x.Request.Fields, "x-forwarded-for", peer.String())
	}
	if m.TrustedHops == 0 {
		x.Request.Fields.Remove("x-forwarded-proto")
		if m.AppendForwardedPort {
			x.Request.Fields.Remove("x-forwarded-port")
		}
	}
}

// appendTo appends to a comma-separated header.
func appendTo(fields *stream.Fields, name, value string) {
	if old, _ := fields.Joined(name); old != "" {
		value = old + "," + value
	}
	fields.Set(name, value)
}

// setForwarded adds what is absent.
func setForwarded(m *config.HTTPManager, x *stream.Exchange) {
	fields := &x.Request.Fields
	if _, there := fields.Get("x-forwarded-proto"); !there {
		fields.Add("x-forwarded-proto", scheme(x))
	}
	if !m.AppendForwardedPort {
		return
	}
	if _, there := fields.Get("x-forwarded-port"); !there {
		fields.Add("x-forwarded-port", strconv.Itoa(int(x.Conn.Local.Port())))
	}
}

// forbidden are headers that clients outside may not set; internal ones may.
var forbidden = [...]string{
	"x-envoy-retry-on", "x-envoy-retry-grpc-on", "x-envoy-max-retries", "x-envoy-retriable-status-codes",
	"x-envoy-retriable-header-names", "x-envoy-upstream-alt-stat-name", "x-envoy-upstream-rq-timeout-ms",
	"x-envoy-upstream-rq-per-try-timeout-ms", "x-envoy-upstream-rq-timeout-alt-response",
	"x-envoy-expected-rq-timeout-ms", "x-envoy-hedge-on-per-try-timeout", "x-envoy-force-trace", "x-envoy-ip-tags",
	"x-envoy-original-url", "x-envoy-decorator-operation",
}

func sanitize(x *stream.Exchange, edge bool, internalOnly []string) {
	fields := &x.Request.Fields
	if x.Internal {
		fields.Set("x-envoy-internal", "true")
		return
	}
	fields.Remove("x-envoy-internal")
	if !edge {
		return
	}
	for _, name := range forbidden {
		fields.Remove(name)
	}
	for _, name := range internalOnly {
		fields.Remove(name)
	}
	fields.Remove("x-envoy-downstream-service-cluster")
	fields.Remove("x-envoy-downstream-service-node")
}
