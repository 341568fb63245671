//go:build linux

package main

// kase is one comparison: who is loaded how, and what Pillion's figure may be beside a peer's.
type kase struct {
	name    string
	title   string // in the table
	service string // port of the proxies
	client  string // the program that load starts; empty: this one
	load    load
	unit    unit
	peers   []string
	bars    []bar
}

// bar is the most that Pillion's figure may be, times the peer's: limit is what a release wants, goal what we want.
type bar struct {
	peer        string
	limit, goal float64
}

// unit is what CPU seconds are divided by, and how the quotient is written.
type unit struct {
	name  string
	scale float64
}

var (
	aRequest    = unit{"µs/request", 1e6}
	aConnection = unit{"µs/connection", 1e6}
	aGigabyte   = unit{"ms/GB", 1e12}
)

// Names of proxies. haproxySplice is haproxy told to let the kernel move bytes, which it doesn't by itself;
// reverseProxy is a small program around net/http's ReverseProxy.
const (
	pillion       = "pillion"
	nginx         = "nginx"
	haproxy       = "haproxy"
	haproxySplice = "haproxy_splice"
	reverseProxy  = "reverseproxy"
)

var cases = []kase{
	{
		name: "http1", title: "HTTP/1.1, 64 connections kept alive, 100 hosts with 4 prefixes each",
		service: "http", client: "wrk", load: wrk("http", "/api/v3/pay"), unit: aRequest,
		peers: []string{nginx, haproxy, reverseProxy}, bars: []bar{{nginx, 1.15, 1}},
	}, {
		name: "http1_log", title: "the same with Istio's metrics, request ids, retries and an access log; nginx with its log, buffered",
		service: "log", client: "wrk", load: wrk("http", "/api/v3/pay"), unit: aRequest,
		peers: []string{nginx}, bars: []bar{{nginx, 1.4, 1.25}},
	}, {
		name: "http1_16k", title: "HTTP/1.1, answers of 16 KiB",
		service: "http", client: "wrk", load: wrk("http", "/api/v3/16k"), unit: aRequest,
		peers: []string{nginx},
	}, {
		name: "tls", title: "TLS 1.3 terminated, 64 connections kept alive",
		service: "tls", client: "wrk", load: wrk("https", "/"), unit: aRequest,
		peers: []string{nginx, haproxy}, bars: []bar{{nginx, 1.1, 0.9}},
	}, {
		name: "mtls", title: "mTLS hop: plaintext to one proxy, mTLS to the second, plaintext to the application; CPU of both",
		service: "mtls", client: "wrk", load: wrk("http", "/"), unit: aRequest,
		peers: []string{nginx, haproxy}, bars: []bar{{nginx, 1.1, 0.9}},
	}, {
		name: "tls_handshake", title: "new TLS 1.3 connections without resumption, ECDSA P-256",
		service: "tls", load: connect("https"), unit: aConnection,
		peers: []string{nginx},
	}, {
		name: "h2c_http1", title: "h2c in, HTTP/1.1 out, 8 connections with 8 streams each",
		service: "h2c", client: "h2load", load: h2load, unit: aRequest,
		peers: []string{nginx, haproxy}, bars: []bar{{nginx, 1.5, 1}},
	}, {
		name: "grpc", title: "gRPC unary, h2c in and out, 4 connections with 16 calls each; nginx with grpc_pass",
		service: "grpc", load: grpcCalls, unit: aRequest,
		peers: []string{nginx, haproxy}, bars: []bar{{nginx, 0, 1}},
	}, {
		name: "l4_bulk", title: "TCP, 4 streams to the client; haproxy with and without splice",
		service: "tcp", load: bulk, unit: aGigabyte,
		peers: []string{haproxy, haproxySplice}, bars: []bar{{haproxy, 0.5, 0.4}},
	}, {
		name: "l4_conn", title: "TCP, new connections with a byte each way",
		service: "tcp", load: connect("tcp"), unit: aConnection,
		peers: []string{haproxy}, bars: []bar{{haproxy, 1.3, 1.2}},
	},
}

// memoryCase is measured apart: it is about memory.
const memoryCase = "idle"

// Memory's bars, in MiB and KiB.
const (
	restLimit, restGoal           = 20, 14
	idleLimit, idleGoal           = 60, 60
	connectionLimit, connectionGo = 4, 4
)

func caseNames() []string {
	names := make([]string, 0, len(cases)+1)
	for _, k := range cases {
		names = append(names, k.name)
	}
	return append(names, memoryCase)
}
