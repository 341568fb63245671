package format

import (
	"time"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
	"github.com/pillion-mesh/pillion/internal/proxy/stream"
)

// texts are operators that give a text; empty means unset.
var texts = map[string]func(*stream.Exchange) string{
	"PROTOCOL":                          func(x *stream.Exchange) string { return x.Protocol.String() },
	"UPSTREAM_PROTOCOL":                 func(x *stream.Exchange) string { return x.Upstream.Protocol.String() },
	"RESPONSE_FLAGS":                    func(x *stream.Exchange) string { return flags(x).String() },
	"RESPONSE_FLAGS_LONG":               func(x *stream.Exchange) string { return flags(x).Long() },
	"CONNECTION_TERMINATION_DETAILS":    func(x *stream.Exchange) string { return x.Conn.Termination },
	"UPSTREAM_TRANSPORT_FAILURE_REASON": func(x *stream.Exchange) string { return x.Upstream.TransportFailure },
	"DOWNSTREAM_TRANSPORT_FAILURE_REASON": func(x *stream.Exchange) string {
		return x.Conn.TransportFailure
	},
	"UPSTREAM_CLUSTER_RAW":            func(x *stream.Exchange) string { return x.ClusterName },
	"UPSTREAM_CLUSTER":                clusterStatName,
	"UPSTREAM_HOST_NAME":              hostName,
	"ROUTE_NAME":                      routeName,
	"REQUESTED_SERVER_NAME":           func(x *stream.Exchange) string { return x.Conn.SNI },
	"STREAM_ID":                       requestID,
	"VIRTUAL_CLUSTER_NAME":            virtualCluster,
	"VIRTUAL_HOST_NAME":               virtualHostName,
	"LOCAL_REPLY_BODY":                func(x *stream.Exchange) string { return x.LocalBody },
	"ACCESS_LOG_TYPE":                 logType,
	"TRACE_ID":                        traceID,
	"LISTENER_NAME":                   func(x *stream.Exchange) string { return listenerName(x.Conn) },
	"FILTER_CHAIN_NAME":               func(x *stream.Exchange) string { return chainName(x.Conn) },
	"DOWNSTREAM_LOCAL_URI_SAN":        ofTLS(downTLS, localURISANs),
	"DOWNSTREAM_PEER_URI_SAN":         ofTLS(downTLS, peerURISANs),
	"DOWNSTREAM_PEER_DNS_SAN":         ofTLS(downTLS, peerDNSSANs),
	"DOWNSTREAM_PEER_SUBJECT":         ofTLS(downTLS, peerSubject),
	"DOWNSTREAM_TLS_SESSION_ID":       ofTLS(downTLS, sessionID),
	"DOWNSTREAM_TLS_CIPHER":           ofTLS(downTLS, cipher),
	"DOWNSTREAM_TLS_VERSION":          ofTLS(downTLS, version),
	"UPSTREAM_LOCAL_URI_SAN":          ofTLS(upTLS, localURISANs),
	"UPSTREAM_PEER_URI_SAN":           ofTLS(upTLS, peerURISANs),
	"UPSTREAM_PEER_DNS_SAN":           ofTLS(upTLS, peerDNSSANs),
	"UPSTREAM_PEER_SUBJECT":           ofTLS(upTLS, peerSubject),
	"UPSTREAM_TLS_SESSION_ID":         ofTLS(upTLS, sessionID),
	"UPSTREAM_TLS_CIPHER":             ofTLS(upTLS, cipher),
	"UPSTREAM_TLS_VERSION":            ofTLS(upTLS, version),
	"DOWNSTREAM_PEER_ISSUER":          ofCert(downTLS, issuer),
	"DOWNSTREAM_PEER_SERIAL":          ofCert(downTLS, serial),
	"DOWNSTREAM_PEER_CERT":            ofCert(downTLS, pemOf),
	"UPSTREAM_PEER_ISSUER":            ofCert(upTLS, issuer),
	"UPSTREAM_PEER_SERIAL":            ofCert(upTLS, serial),
	"UPSTREAM_PEER_CERT":              ofCert(upTLS, pemOf),
	"DOWNSTREAM_PEER_IP_SAN":          ofCert(downTLS, ipSANs),
	"DOWNSTREAM_PEER_EMAIL_SAN":       ofCert(downTLS, emailSANs),
	"UPSTREAM_PEER_IP_SAN":            ofCert(upTLS, ipSANs),
	"UPSTREAM_PEER_EMAIL_SAN":         ofCert(upTLS, emailSANs),
	"DOWNSTREAM_PEER_FINGERPRINT_256": ofCert(downTLS, fingerprint256),
	"DOWNSTREAM_PEER_FINGERPRINT_1":   ofCert(downTLS, fingerprint1),
	"UPSTREAM_PEER_FINGERPRINT_256":   ofCert(upTLS, fingerprint256),
	"UPSTREAM_PEER_FINGERPRINT_1":     ofCert(upTLS, fingerprint1),

	// What isn't known here, and is unset therefore: of QUIC, of certificates of our own, of TLS fingerprints.
	"BYTES_RETRANSMITTED": unset, "PACKETS_RETRANSMITTED": unset, "TLS_JA3_FINGERPRINT": unset, "TLS_JA4_FINGERPRINT": unset,
	"DOWNSTREAM_LOCAL_SUBJECT": unset, "DOWNSTREAM_LOCAL_DNS_SAN": unset, "DOWNSTREAM_LOCAL_IP_SAN": unset,
	"DOWNSTREAM_LOCAL_EMAIL_SAN": unset, "UPSTREAM_LOCAL_SUBJECT": unset, "UPSTREAM_LOCAL_DNS_SAN": unset,
	"UPSTREAM_LOCAL_IP_SAN": unset, "UPSTREAM_LOCAL_EMAIL_SAN": unset, "CUSTOM_FLAGS": unset,
	"DOWNSTREAM_LOCAL_CLOSE_REASON": unset, "UPSTREAM_LOCAL_CLOSE_REASON": unset,
	"DOWNSTREAM_DETECTED_CLOSE_TYPE": unset, "UPSTREAM_DETECTED_CLOSE_TYPE": unset,
	"UPSTREAM_WIRE_BYTES_SENT": unset, "UPSTREAM_WIRE_BYTES_RECEIVED": unset,
	"UPSTREAM_HEADER_BYTES_SENT": unset, "UPSTREAM_HEADER_BYTES_RECEIVED": unset,
	"UPSTREAM_CONNECTION_ID": unset, "UPSTREAM_CONNECTION_POOL_READY_DURATION": unset,
	"DOWNSTREAM_HANDSHAKE_DURATION": unset, "ROUNDTRIP_DURATION": unset,
	"UPSTREAM_REMOTE_ADDRESS_ENDPOINT_ID": unset, "DOWNSTREAM_REMOTE_ADDRESS_ENDPOINT_ID": unset,
}

func unset(*stream.Exchange) string { return "" }

// numbers are operators that give a number; below zero means unset.
var numbers = map[string]func(*stream.Exchange) int64{
	"RESPONSE_CODE":                  func(x *stream.Exchange) int64 { return int64(x.Response.Status) },
	"BYTES_RECEIVED":                 func(x *stream.Exchange) int64 { return int64(x.Received) },
	"BYTES_SENT":                     func(x *stream.Exchange) int64 { return int64(x.Sent) },
	"DOWNSTREAM_WIRE_BYTES_RECEIVED": func(x *stream.Exchange) int64 { return int64(x.Conn.Received) },
	"DOWNSTREAM_WIRE_BYTES_SENT":     func(x *stream.Exchange) int64 { return int64(x.Conn.Sent) },
	"REQUEST_HEADERS_BYTES":          func(x *stream.Exchange) int64 { return headBytes(&x.Request) },
	"DOWNSTREAM_HEADER_BYTES_RECEIVED": func(x *stream.Exchange) int64 {
		return headBytes(&x.Request)
	},
	"RESPONSE_HEADERS_BYTES":         func(x *stream.Exchange) int64 { return fieldBytes(&x.Response.Fields) },
	"DOWNSTREAM_HEADER_BYTES_SENT":   func(x *stream.Exchange) int64 { return fieldBytes(&x.Response.Fields) },
	"RESPONSE_TRAILERS_BYTES":        func(x *stream.Exchange) int64 { return fieldBytes(&x.ResponseTrailers) },
	"UPSTREAM_REQUEST_ATTEMPT_COUNT": func(x *stream.Exchange) int64 { return int64(x.Attempts) },
	"CONNECTION_ID":                  func(x *stream.Exchange) int64 { return int64(x.Conn.ID) },
	"GRPC_STATUS_NUMBER":             func(x *stream.Exchange) int64 { return int64(x.GRPCStatus) },
	"DURATION":                       func(x *stream.Exchange) int64 { return x.End.Milliseconds() },
	"REQUEST_DURATION":               func(x *stream.Exchange) int64 { return elapsed(0, x.RequestEnd, time.Millisecond) },
	"REQUEST_TX_DURATION":            func(x *stream.Exchange) int64 { return elapsed(0, x.LastUpstreamTx, time.Millisecond) },
	"RESPONSE_DURATION":              func(x *stream.Exchange) int64 { return elapsed(0, x.FirstUpstreamRx, time.Millisecond) },
	"RESPONSE_TX_DURATION":           responseTx,
}

func responseTx(x *stream.Exchange) int64 {
	if x.FirstUpstreamRx == 0 {
		return -1
	}
	return elapsed(x.FirstUpstreamRx, x.End, time.Millisecond)
}

// elapsed is the time between two moments in units, -1 if the later one didn't happen.
func elapsed(from, to, unit time.Duration) int64 {
	if to == 0 || to < from {
		return -1
	}
	return int64((to - from) / unit)
}

// flags are the exchange's and its connection's, for what ended a connection ended its requests.
func flags(x *stream.Exchange) stream.Flags { return x.Flags | x.Conn.Flags }

func headBytes(r *stream.Request) int64 {
	return int64(len(r.Method)+len(r.Scheme)+len(r.Authority)+len(r.Path)) + fieldBytes(&r.Fields)
}

func fieldBytes(f *stream.Fields) (n int64) {
	for i := range f.Len() {
		n += int64(len(f.At(i).Name) + len(f.At(i).Value))
	}
	return n
}

func clusterStatName(x *stream.Exchange) string {
	if x.Cluster != nil && x.Cluster.StatName != "" {
		return x.Cluster.StatName
	}
	return x.ClusterName
}

func hostName(x *stream.Exchange) string { return x.Upstream.Host }

func routeName(x *stream.Exchange) string {
	if x.Route == nil {
		return ""
	}
	return x.Route.Name
}

func virtualHostName(x *stream.Exchange) string {
	if x.VirtualHost == nil {
		return ""
	}
	return x.VirtualHost.Name
}

func virtualCluster(x *stream.Exchange) string {
	if x.VirtualHost == nil {
		return ""
	}
	return config.VirtualClusterName
}

func requestID(x *stream.Exchange) string { return x.Request.Fields.Value("x-request-id") }

// logType is when the line is written; lines while a connection lasts have no end yet.
func logType(x *stream.Exchange) string {
	switch {
	case x.Try:
		return "UpstreamEnd"
	case x.Protocol != stream.NoProtocol:
		return "DownstreamEnd"
	case x.End == 0:
		return "TcpConnectionStart"
	default:
		return "TcpConnectionEnd"
	}
}

// traceID is the one of the request's span, else the one of W3C's or B3's headers, whichever the request carries.
func traceID(x *stream.Exchange) string {
	if x.Span != nil {
		return x.Span.TraceID.String()
	}
	if parent, ok := x.Request.Fields.Get("traceparent"); ok && len(parent) >= 35 {
		return parent[3:35]
	}
	return x.Request.Fields.Value("x-b3-traceid")
}

func listenerName(c *stream.Conn) string {
	if c.Listener == nil {
		return ""
	}
	return c.Listener.Name
}

func chainName(c *stream.Conn) string {
	if c.Chain == nil {
		return ""
	}
	return c.Chain.Name
}
