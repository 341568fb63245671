// Package stream is what is known of one downstream connection and of one request on it, while they last: addresses,
// identities, the head of the request and of the answer, which route and host were chosen, why it ended. The engines
// (tcp, http) fill it in; routes and filters read and change it; access logs and metrics read it at the end. It
// imports config and nothing else. Read Conn first, then Exchange; fields.go holds header fields.
//
// Strings in an Exchange may be views of buffers that are used again once it has ended: who keeps one longer clones it.
package stream

import (
	"crypto/x509"
	"net/netip"
	"sync"
	"time"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
)

// Conn is a downstream connection. It is filled in before the first filter runs; only Peer, Sent and Received change
// later.
type Conn struct {
	ID        uint64
	Start     time.Time
	Remote    netip.AddrPort // the socket's peer, or whom it connects for by the PROXY protocol
	Peered    netip.AddrPort // the socket's peer if it isn't Remote; see Direct
	Local     netip.AddrPort // the original destination, or the socket's own address
	Direction config.Direction
	Listener  *config.Listener
	Chain     *config.Chain

	TLS  *TLS     // nil: plaintext
	SNI  string   // as the inspector or the handshake found it
	ALPN []string // the client's list
	Peer *Peer    // metadata exchange over TCP; nil: unknown
	TLVs []TLV    // of a PROXY protocol header, to be passed on
	// OriginalSource says that upstream connections for this one come from Remote; nil: they don't.
	OriginalSource *config.OriginalSource

	// Metadata is what network filters left, by filter name; also filter state.
	Metadata map[string]map[string]any
	// Kept is what HTTP filters keep as long as the connection lasts, each under a key of its own type. Requests of an
	// HTTP/2 connection share it.
	Kept sync.Map
	// Left is called when an HTTP connection has ended; nil: nobody wants to know.
	Left func()

	Flags            Flags
	Termination      string // connection_termination_details
	TransportFailure string // DOWNSTREAM_TRANSPORT_FAILURE_REASON
	Received, Sent   uint64 // bytes from and to the downstream
}

// TLS is what a handshake established.
type TLS struct {
	Version, Cipher uint16 // as crypto/tls
	ALPN            string // negotiated
	ServerName      string
	Mutual          bool // the client proved who it is
	PeerURISANs     []string
	PeerDNSSANs     []string
	PeerSubject     string
	LocalURISANs    []string
	PeerCert        *x509.Certificate // nil without client certificate
	PeerChain       []*x509.Certificate
	SessionID       string
}

// Principal is the peer's first URI SAN, its SPIFFE identity, or "".
func (c *Conn) Principal() string {
	if c.TLS == nil || len(c.TLS.PeerURISANs) == 0 {
		return ""
	}
	return c.TLS.PeerURISANs[0]
}

// Peer is what the other workload says of itself.
type Peer struct {
	Workload, Namespace, App, Version   string
	CanonicalService, CanonicalRevision string
	Cluster, Principal                  string
}

// Protocol is an HTTP version.
type Protocol uint8

// The versions there are; NoProtocol is a TCP connection's.
const (
	NoProtocol Protocol = iota
	HTTP10
	HTTP11
	HTTP2
)

// String is the version as %PROTOCOL% writes it.
func (p Protocol) String() string {
	switch p {
	case HTTP10:
		return "HTTP/1.0"
	case HTTP11:
		return "HTTP/1.1"
	case HTTP2:
		return "HTTP/2"
	default:
		return ""
	}
}

// Exchange is one request and its answer, or a TCP connection's life. Its owner uses it again after Reset.
type Exchange struct {
	Conn     *Conn
	Start    time.Time
	Protocol Protocol
	Remote   netip.Addr // the client as x-forwarded-for tells, if it is trusted; invalid: the connection's
	Internal bool       // the client's address is one of internal_address_config

	Request  Request
	Response Response
	// Trailers of either message; empty if there were none.
	RequestTrailers, ResponseTrailers Fields

	// What was chosen.
	Table       *config.RouteTable // that the virtual host is of
	VirtualHost *config.VirtualHost
	Route       *config.Route // nil: none matched
	Cluster     *config.Cluster
	ClusterName string // set even if there is no such cluster
	Weighted    *config.WeightedCluster
	// Stale says that a filter has changed what routes look at and wants the route chosen anew (clear_route_cache).
	Stale bool
	// UpstreamALPN is what istio.alpn wants offered to the upstream; nil: what its cluster says.
	UpstreamALPN []string
	Upstream     Upstream
	Attempts     uint32
	Try          bool // of upstream_log: this is one attempt, its times count from that one's start
	// Sessions are the hosts that filters want the request to go to; the last one with a host counts.
	Sessions []Session

	// Throttle limits how fast the client gets the answer's body; nil: it isn't limited.
	Throttle *Throttle

	// How it ended.
	Flags   Flags
	Details string // RESPONSE_CODE_DETAILS: via_upstream, route_not_found, …
	Local   bool   // the answer was made here
	// LocalBody is a local answer's text before a format is applied to it: %LOCAL_REPLY_BODY%.
	LocalBody string
	Received  uint64 // body bytes of the request
	Sent      uint64 // body bytes of the response

	// When, since Start; 0: it didn't happen.
	RequestEnd, FirstUpstreamTx, LastUpstreamTx, FirstUpstreamRx, LastUpstreamRx, FirstTx, End time.Duration

	// Metadata is dynamic metadata by filter name. FilterState holds names Envoy's filters agree on.
	Metadata    map[string]map[string]any
	FilterState map[string]string
	Peer        *Peer // of this request, over headers; nil: the connection's
	UpPeer      *Peer // of the upstream
	Traced      bool
	Operation   string // decorator.operation, or what the other side calls it
	Span        *Span  // nil: nobody makes spans of this request
	Tap         uint64 // of telemetry's tap: who watches this; 0: nobody
	GRPC        bool
	GRPCStatus  int       // -1: none
	Messages    [2]uint64 // gRPC messages: of the request, of the response
	// EmitMessages makes Messages the filter state envoy.filters.http.grpc_stats. Calls counts the call when it ends; nil:
	// nothing does. It is a *telemetry.GRPC.
	EmitMessages bool
	Calls        any
	HealthCheck  bool // a health check, as a filter found
}

// Throttle is how fast an answer's body may be given to its client.
type Throttle struct {
	Rate uint64        // bytes a second, not 0
	Next time.Duration // when more may go, since the exchange's start
	End  func()        // is called once, when the exchange has ended
}

// Client is the address of the client: DOWNSTREAM_REMOTE_ADDRESS. Told by x-forwarded-for it has port 0.
func (x *Exchange) Client() netip.AddrPort {
	if x.Remote.IsValid() {
		return netip.AddrPortFrom(x.Remote, 0)
	}
	return x.Conn.Remote
}

// Upstream is the connection a request went out on.
type Upstream struct {
	Remote, Local    netip.AddrPort
	Host             string // hostname of the endpoint
	Protocol         Protocol
	TLS              *TLS
	TransportFailure string // UPSTREAM_TRANSPORT_FAILURE_REASON
	Endpoint         *config.Endpoint
}

// Session binds a request to a host that its client was told of before. What it says comes from the client: it may only
// choose among the hosts its cluster has.
type Session struct {
	Owner  any    // the filter
	Host   string // ip:port, or the path of a Unix socket; empty: any will do
	Strict bool   // no other host will do
	Status int    // of the answer if the cluster doesn't have it, and Strict; 0: 503
}

// Session is the one that counts, or the zero value.
func (x *Exchange) Session() (s Session) {
	for _, each := range x.Sessions {
		if each.Host != "" {
			s = each
		}
	}
	return s
}

// Request is a request's head. Method, Scheme, Authority and Path are the pseudo-headers of HTTP/2, which HTTP/1.1's
// head is taken apart into; Fields holds none of them, and no Host.
type Request struct {
	Method, Scheme, Authority string
	Path                      string // with the query
	OriginalPath              string // before a rewrite; empty: Path
	Fields                    Fields
	HasBody                   bool
	Length                    int64  // of the body; -1: not told
	Upgrade                   string // the type asked for, in lower case; empty: none
	Case                      Case
}

// Header returns a header as matchers name it: :method, :authority, host, :path and :scheme too.
func (r *Request) Header(name string) (string, bool) {
	switch name {
	case ":method":
		return r.Method, true
	case ":authority", "host":
		return r.Authority, r.Authority != ""
	case ":path":
		return r.Path, true
	case ":scheme":
		return r.Scheme, r.Scheme != ""
	}
	return r.Fields.Get(name)
}

// Joined is Header, with several fields of one name joined by a comma, as matchers see them.
func (r *Request) Joined(name string) (string, bool) {
	if name == "host" || name != "" && name[0] == ':' {
		return r.Header(name)
	}
	return r.Fields.Joined(name)
}

// Response is an answer's head.
type Response struct {
	Status int // 0: none was sent
	Fields Fields
	Length int64 // -1: not told
	Case   Case
}

// Reset makes x ready for another request of conn, keeping memory.
func (x *Exchange) Reset(conn *Conn, start time.Time) {
	request, response := x.Request.Fields, x.Response.Fields
	up, down := x.RequestTrailers, x.ResponseTrailers
	request.Clear()
	response.Clear()
	up.Clear()
	down.Clear()
	*x = Exchange{Conn: conn, Start: start, GRPCStatus: -1, RequestTrailers: up, ResponseTrailers: down}
	x.Request.Fields, x.Response.Fields = request, response
}
