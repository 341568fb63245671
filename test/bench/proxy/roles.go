package main

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync/atomic"
	"time"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
	proxyhttp "github.com/pillion-mesh/pillion/internal/proxy/http"
	"github.com/pillion-mesh/pillion/internal/proxy/stream"
	"github.com/pillion-mesh/pillion/internal/proxy/telemetry"
	"github.com/pillion-mesh/pillion/internal/proxy/upstream"
)

// runProxy is the proxy under test: args are its address, the backend's and what it does besides forwarding.
func runProxy(ctx context.Context, args []string) error {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", args[0])
	if err != nil {
		return err
	}
	store := telemetry.NewStore(0, telemetry.Labels{})
	manager := upstream.NewManager(upstream.Options{Store: store})
	defer manager.Close()
	chain, runtime := settings(netip.MustParseAddrPort(args[1]), args[2:])
	manager.Apply(runtime)
	logs := telemetry.NewLogs(telemetry.LogOptions{})
	engine := proxyhttp.New(proxyhttp.Options{Upstreams: manager, Store: store, Logs: logs})
	context.AfterFunc(ctx, func() { _ = listener.Close() })
	var id atomic.Uint64
	for {
		conn, err := listener.Accept()
		if err != nil {
			engine.Close(ctx)
			return nil //nolint:nilerr // told to stop
		}
		go engine.Serve(&stream.Conn{
			ID: id.Add(1), Start: time.Now(), Chain: chain,
			Remote: addrPort(conn.RemoteAddr()), Local: addrPort(conn.LocalAddr()),
		}, conn)
	}
}

func addrPort(a net.Addr) netip.AddrPort {
	if tcp, ok := a.(*net.TCPAddr); ok {
		return tcp.AddrPort()
	}
	return netip.AddrPort{}
}

// settings are host and prefix routing to one backend.
func settings(backend netip.AddrPort, extras []string) (*config.Chain, *config.Runtime) {
	route := &config.Route{Match: config.RouteMatch{Path: "/"}, Forward: &config.Forward{Cluster: "backend", Timeout: 15 * time.Second}}
	table := &config.RouteTable{VirtualHosts: []*config.VirtualHost{
		{Name: "bench", Domains: []string{"127.0.0.1:*", "bench"}, Routes: []*config.Route{route}},
		{Name: "all", Domains: []string{"*"}, Routes: []*config.Route{route}},
	}}
	manager := &config.HTTPManager{
		StatPrefix: "bench", Routes: config.NewCell(table), ServerHeader: config.ServerPassThrough,
		Router: config.Router{SuppressHeaders: true}, StreamIdleTimeout: 5 * time.Minute, IdleTimeout: time.Hour,
	}
	for _, extra := range extras {
		switch extra {
		case "log":
			manager.AccessLogs = []*config.AccessLog{{Path: "/dev/null"}}
		case "istio":
			manager.Filters = append(manager.Filters, config.HTTPFilter{Name: "istio.stats", Config: &config.IstioStats{}})
		}
	}
	breaker := config.Breaker{Connections: 1024, Pending: 1024, Requests: 1024, Retries: 3}
	endpoints := &config.Endpoints{Localities: []config.Locality{{Hosts: []*config.Endpoint{{Address: backend}}}}}
	cluster := &config.Cluster{
		Name: "backend", Kind: config.StaticHosts, Endpoints: config.NewCell(endpoints), ConnectTimeout: 5 * time.Second,
		Breakers: [2]config.Breaker{breaker, breaker}, LB: config.LB{Policy: config.LBLeastRequest},
	}
	return &config.Chain{HTTP: manager}, config.NewRuntime(nil, []*config.Cluster{cluster})
}

// runBackend answers everything, as cheaply as Go can: one goroutine a connection, a fixed answer.
func runBackend(ctx context.Context, args []string) error {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", args[0])
	if err != nil {
		return err
	}
	context.AfterFunc(ctx, func() { _ = listener.Close() })
	for {
		conn, err := listener.Accept()
		if err != nil {
			return nil //nolint:nilerr // told to stop
		}
		go answer(conn)
	}
}

func answer(conn net.Conn) {
	defer conn.Close()
	small, large := reply(23), reply(16<<10)
	buf := make([]byte, 16<<10)
	have := 0
	for {
		n, err := conn.Read(buf[have:])
		if err != nil {
			return
		}
		have += n
		text := string(buf[:have])
		end := strings.Index(text, "\r\n\r\n")
		if end < 0 {
			continue
		}
		have = 0
		what := small
		if strings.HasPrefix(text, "GET /16k") {
			what = large
		}
		if _, err := conn.Write(what); err != nil {
			return
		}
	}
}

func reply(size int) []byte {
	return fmt.Appendf(nil, "HTTP/1.1 200 OK\r\nServer: bench\r\nDate: Thu, 01 Jan 1970 00:00:00 GMT\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n%s",
		size, strings.Repeat("x", size))
}
