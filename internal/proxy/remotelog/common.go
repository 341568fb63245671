package remotelog

import (
	"net/netip"
	"time"

	"github.com/pillion-mesh/pillion/internal/proxy/format"
	"github.com/pillion-mesh/pillion/internal/proxy/stream"
	"github.com/pillion-mesh/pillion/internal/proxy/wire"
)

// Fields of AccessLogCommon. Its times count from the start.
const (
	commonRemote            = 2
	commonLocal             = 3
	commonTLS               = 4
	commonStart             = 5
	commonLastRx            = 6
	commonFirstUpstreamTx   = 7
	commonLastUpstreamTx    = 8
	commonFirstUpstreamRx   = 9
	commonLastUpstreamRx    = 10
	commonFirstDownstreamTx = 11
	commonLastDownstreamTx  = 12
	commonUpstreamRemote    = 13
	commonUpstreamLocal     = 14
	commonCluster           = 15
	commonFlags             = 16
	commonMetadata          = 17
	commonUpstreamFailure   = 18
	commonRoute             = 19
	commonDirectRemote      = 20
	commonFilterState       = 21
	commonTags              = 22
	commonDuration          = 23
	commonAttempts          = 24
	commonTermination       = 25
	commonStreamID          = 26
	commonIntermediate      = 27
	commonDownstreamFailure = 28
	commonType              = 33
)

func (e *entries) common(x *stream.Exchange) []byte {
	b := e.places(nil, x)
	b = times(b, x)
	if x.Conn.TLS != nil || x.Conn.SNI != "" {
		b = wire.AppendBytes(b, commonTLS, tlsOf(x.Conn))
	}
	if flags := x.Flags | x.Conn.Flags; flags != 0 {
		b = wire.AppendBytes(b, commonFlags, flagsOf(flags))
	}
	b = appendMetadata(b, commonMetadata, x)
	b = appendText(b, commonUpstreamFailure, x.Upstream.TransportFailure)
	b = appendText(b, commonTermination, x.Conn.Termination)
	b = appendText(b, commonDownstreamFailure, x.Conn.TransportFailure)
	b = appendText(b, commonStreamID, x.Request.Fields.Value("x-request-id"))
	b = appendCount(b, commonAttempts, uint64(x.Attempts))
	for _, key := range e.config.FilterState {
		b = appendState(b, commonFilterState, key, format.FilterState(x, key))
	}
	tags := map[string]string{}
	for i := range e.tags {
		if text := e.tags[i].of(x); text != "" {
			tags[e.tags[i].name] = text
		}
	}
	return wire.AppendMap(b, commonTags, tags)
}

// places are addresses and names.
func (e *entries) places(b []byte, x *stream.Exchange) []byte {
	b = appendAddress(b, commonRemote, x.Client())
	b = appendAddress(b, commonDirectRemote, x.Conn.Direct())
	b = appendAddress(b, commonLocal, x.Conn.Local)
	b = appendAddress(b, commonUpstreamRemote, x.Upstream.Remote)
	b = appendAddress(b, commonUpstreamLocal, x.Upstream.Local)
	b = appendText(b, commonCluster, x.ClusterName)
	if x.Route != nil {
		b = appendText(b, commonRoute, x.Route.Name)
	}
	return b
}

// AccessLogType's values.
const (
	tcpEnd        = 3
	downstreamEnd = 6
	upstreamEnd   = 9
	tcpStart      = 14
)

func times(b []byte, x *stream.Exchange) []byte {
	b = wire.AppendBytes(b, commonStart, seconds(x.Start.Unix(), int64(x.Start.Nanosecond())))
	for _, t := range [...]struct {
		field wire.Number
		since time.Duration
	}{
		{commonLastRx, x.RequestEnd}, {commonFirstUpstreamTx, x.FirstUpstreamTx}, {commonLastUpstreamTx, x.LastUpstreamTx},
		{commonFirstUpstreamRx, x.FirstUpstreamRx}, {commonLastUpstreamRx, x.LastUpstreamRx}, {commonFirstDownstreamTx, x.FirstTx},
		{commonLastDownstreamTx, x.End}, {commonDuration, x.End},
	} {
		if t.since > 0 && (t.field != commonLastDownstreamTx || x.FirstTx > 0) {
			b = wire.AppendBytes(b, t.field, seconds(int64(t.since/time.Second), int64(t.since%time.Second)))
		}
	}
	switch {
	case x.Try:
		return wire.AppendNumber(b, commonType, upstreamEnd)
	case x.Protocol != stream.NoProtocol:
		return wire.AppendNumber(b, commonType, downstreamEnd)
	case x.End == 0:
		return wire.AppendNumber(wire.AppendNumber(b, commonIntermediate, 1), commonType, tcpStart)
	default:
		return wire.AppendNumber(b, commonType, tcpEnd)
	}
}

// seconds is a Timestamp or a Duration, which look the same.
func seconds(s, nanos int64) []byte {
	return appendCount(appendCount(nil, 1, uint64(s)), 2, uint64(nanos))
}

// Fields of Address and SocketAddress.
const (
	addressSocket = 1
	socketAddress = 2
	socketPort    = 3
)

func appendAddress(b []byte, field wire.Number, a netip.AddrPort) []byte {
	if !a.IsValid() {
		return b
	}
	socket := wire.AppendText(nil, socketAddress, a.Addr().String())
	socket = wire.AppendNumber(socket, socketPort, uint64(a.Port())) // a oneof: it is told even if it is 0
	return wire.AppendBytes(b, field, wire.AppendBytes(nil, addressSocket, socket))
}

// flagFields are ResponseFlags' fields. That of UAEX is a message with its reason.
var flagFields = [...]struct {
	flag  stream.Flags
	field wire.Number
}{
	{stream.FailedLocalHealthCheck, 1}, {stream.NoHealthyUpstream, 2}, {stream.UpstreamRequestTimeout, 3}, {stream.LocalReset, 4},
	{stream.UpstreamReset, 5}, {stream.UpstreamConnectionFailure, 6}, {stream.UpstreamConnectionTermination, 7},
	{stream.UpstreamOverflow, 8}, {stream.NoRouteFound, 9}, {stream.DelayInjected, 10}, {stream.FaultInjected, 11},
	{stream.RateLimited, 12}, {stream.UnauthorizedExternalService, flagUnauthorized}, {stream.RateLimitServiceError, 14},
	{stream.DownstreamReset, 15}, {stream.UpstreamRetryLimitExceeded, 16}, {stream.IdleTimeout, 17},
	{stream.InvalidEnvoyRequestHeaders, 18}, {stream.DownstreamProtocolError, 19}, {stream.UpstreamMaxStreamDuration, 20},
	{stream.NoFilterConfigFound, 22}, {stream.DurationTimeout, 23}, {stream.UpstreamProtocolError, 24}, {stream.NoClusterFound, 25},
	{stream.OverloadManager, 26}, {stream.DNSResolutionFailed, 27},
}

const flagUnauthorized = 13

func flagsOf(flags stream.Flags) (b []byte) {
	for _, each := range flagFields {
		switch {
		case flags&each.flag == 0:
		case each.field == flagUnauthorized:
			b = wire.AppendBytes(b, each.field, wire.AppendNumber(nil, 1, 1)) // EXTERNAL_SERVICE
		default:
			b = wire.AppendNumber(b, each.field, 1)
		}
	}
	return b
}
