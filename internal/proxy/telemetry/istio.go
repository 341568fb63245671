package telemetry

import (
	"time"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
	"github.com/pillion-mesh/pillion/internal/proxy/stream"
)

// Istio counts Istio's metrics as one istio.stats filter configures them.
type Istio struct {
	store     *Store
	overrides *overrides // nil: the usual labels
	server    bool       // reports as the destination, whatever the direction
	fallback  bool       // an unknown service is named by the request's host
	report    time.Duration
}

// defaultReport is Istio's tcp_reporting_duration.
const defaultReport = 5 * time.Second

// Istio returns what counts Istio's metrics for a filter; nil means its defaults. Callers keep it beside the filter.
func (s *Store) Istio(filter *config.IstioStats) *Istio {
	if filter == nil {
		filter = &config.IstioStats{}
	}
	i := &Istio{store: s, overrides: s.istio.intern(filter.Metrics), server: filter.Reporter == 1, fallback: !filter.DisableHostFallback, report: filter.ReportDuration}
	if i.report <= 0 {
		i.report = defaultReport
	}
	return i
}

// ReportEvery is how often a TCP connection's bytes are counted.
func (i *Istio) ReportEvery() time.Duration { return i.report }

// IstioCache keeps the series of a connection's last request. The zero value is empty. One goroutine uses it at a time.
type IstioCache struct {
	seen   seen
	series *IstioSeries
}

// seen is what decides on a series. Pointers are compared, not what they point to: nobody changes that, and while it is
// held here nothing else can take its place.
type seen struct {
	conn        *stream.Conn
	peer        *stream.Peer // of the request, or the connection's
	upPeer      *stream.Peer
	upTLS       *stream.TLS
	cluster     *config.Cluster
	clusterName string
	host        string // only where it names the service
	overrides   string
	protocol    protocol
	code        int
	grpc        int
	flags       stream.Flags
}

// Series returns the series x belongs to. The usual request has the labels of the connection's last one: that costs a
// comparison and nothing else. Ask when x is finished, for status and flags are labels; a TCP connection asks when it
// opens and when it ends.
func (i *Istio) Series(x *stream.Exchange, cache *IstioCache) *IstioSeries {
	now := i.look(x)
	if i.overrides != nil {
		now.overrides = i.overrides.values(x, cache.seen.overrides)
	}
	if cache.series != nil && now == cache.seen {
		return cache.series
	}
	cache.series = i.store.istio.find(i.key(x, &now))
	cache.seen = now.kept()
	return cache.series
}

func (i *Istio) look(x *stream.Exchange) seen {
	s := seen{
		conn: x.Conn, peer: x.Peer, upPeer: x.UpPeer, upTLS: x.Upstream.TLS, cluster: x.Cluster, clusterName: x.ClusterName,
		protocol: protocolOf(x), code: x.Response.Status, grpc: -1, flags: x.Flags | x.Conn.Flags,
	}
	if s.peer == nil {
		s.peer = x.Conn.Peer
	}
	if x.GRPC {
		s.grpc = x.GRPCStatus
	}
	if i.fallback && (x.Cluster == nil || x.Cluster.Service.Host == "") {
		s.host = x.Request.Authority
	}
	return s
}

// kept is s with its own copy of what may be a view of a buffer.
func (s seen) kept() seen {
	s.host = cloned(s.host)
	s.clusterName = cloned(s.clusterName)
	return s
}

// protocol is the label request_protocol.
type protocol uint8

const (
	protocolTCP protocol = iota
	protocolHTTP
	protocolGRPC
)

func (p protocol) String() string { return [...]string{"tcp", "http", "grpc"}[p] }

func protocolOf(x *stream.Exchange) protocol {
	switch {
	case x.Protocol == stream.NoProtocol:
		return protocolTCP
	case x.GRPC:
		return protocolGRPC
	default:
		return protocolHTTP
	}
}
