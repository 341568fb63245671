package tcp

import (
	"context"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
	"github.com/pillion-mesh/pillion/internal/proxy/stream"
	"github.com/pillion-mesh/pillion/internal/proxy/telemetry"
)

// pipeDialer hands out the upstream a test has made.
type pipeDialer struct{ up *net.TCPConn }

func (d pipeDialer) Dial(context.Context, *config.Cluster, netip.AddrPort, netip.AddrPort) (*net.TCPConn, error) {
	return d.up, nil
}

func anyCluster(string) *config.Cluster { return &config.Cluster{} }

type entries chan *telemetry.Entry

func (e entries) Log(entry *telemetry.Entry) { e <- entry }

func connected(t *testing.T) (here, there *net.TCPConn) {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	out, err := net.Dial("tcp4", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	in, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { out.Close(); in.Close() })
	return out.(*net.TCPConn), in.(*net.TCPConn)
}

// TestIdle drives the sweep by hand: the time is the test's.
func TestIdle(t *testing.T) {
	client, down := connected(t)
	up, server := connected(t)
	start := time.Now()
	log := make(entries, 1)
	p := New(Options{Cluster: anyCluster, Dialer: pipeDialer{up}, Store: telemetry.NewStore(0, telemetry.Labels{}), Log: log,
		Now: func() time.Time { return start }, Guard: func(f func()) { f() }})
	defer p.Close(t.Context())
	chain := &config.Chain{TCP: &config.TCPProxy{IdleTimeout: time.Minute, Clusters: []config.WeightedCluster{{Name: "c"}}}}
	go p.Serve(&stream.Conn{Start: start, Chain: chain}, down)

	pass(t, client, server)
	p.sweepOnce(start.Add(50 * time.Second)) // sees the byte: activity
	pass(t, server, client)
	p.sweepOnce(start.Add(100 * time.Second))
	p.sweepOnce(start.Add(159 * time.Second)) // 59 s of silence
	if p.Active() != 1 {
		t.Fatal("closed before its idle timeout")
	}
	p.sweepOnce(start.Add(161 * time.Second))
	entry := <-log
	if entry.Flags != stream.IdleTimeout || entry.Termination != "tcp_session_idle_timeout" || entry.Received != 1 || entry.Sent != 1 {
		t.Errorf("entry %+v", entry)
	}
}

func pass(t *testing.T, from, to *net.TCPConn) {
	t.Helper()
	if _, err := from.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	if _, err := to.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
}

// TestNoIdleTimeout: 0 means for ever.
func TestNoIdleTimeout(t *testing.T) {
	p := New(Options{Cluster: anyCluster, Store: telemetry.NewStore(0, telemetry.Labels{}), Now: time.Now})
	defer p.Close(t.Context())
	s := newSession(p, &stream.Conn{Chain: &config.Chain{TCP: &config.TCPProxy{Clusters: []config.WeightedCluster{{Name: "c"}}}}}, nil)
	p.add(s)
	if due := p.due(time.Now().Add(1000 * time.Hour)); len(due) != 0 {
		t.Error("a connection without idle timeout is looked at")
	}
	p.mu.Lock()
	delete(p.sessions, s)
	p.mu.Unlock()
}
