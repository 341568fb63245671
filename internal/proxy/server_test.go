package proxy

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
	"github.com/pillion-mesh/pillion/internal/proxy/socket"
	"github.com/pillion-mesh/pillion/internal/proxy/socket/sockettest"
	"github.com/pillion-mesh/pillion/internal/proxy/telemetry"
)

const patience = 20 * time.Second

// rig is a proxy on loopback sockets. There is no netfilter here: where a connection was going is what the test says.
type rig struct {
	*Server
	t                        testing.TB
	outbound, inbound, stats string

	mu  sync.Mutex
	dst netip.AddrPort
	log lockedBuffer
}

func newRig(t testing.TB, change func(*Options)) *rig {
	t.Helper()
	r := &rig{t: t}
	o := Options{
		Epoch: 3, Labels: telemetry.Labels{Workload: "shop", Namespace: "ns"}, MaxConns: 1000,
		AccessLog: &r.log, Log: logr.Discard(),
		OriginalDst: func(*socket.Conn) (netip.AddrPort, error) { return r.destination(), nil },
	}
	if change != nil {
		change(&o)
	}
	server, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	r.Server = server
	sockets := map[string]net.Listener{}
	for name, address := range map[string]*string{"15001/tcp4": &r.outbound, "15006/tcp4": &r.inbound, "15090/tcp4": &r.stats} {
		sockets[name] = listen(t)
		*address = sockets[name].Addr().String()
	}
	if err := errors.Join(server.Take(sockets), server.Accept()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.close)
	return r
}

func (r *rig) close() {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	r.Close(ctx)
}

func (r *rig) destination() netip.AddrPort {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.dst
}

func (r *rig) sendTo(address string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.dst = netip.MustParseAddrPort(address)
}

func listen(t testing.TB) net.Listener {
	t.Helper()
	l := sockettest.Listen(t)
	return l
}

// backend answers each connection with f until the test ends.
func backend(t testing.TB, f func(*net.TCPConn)) string {
	t.Helper()
	l := listen(t)
	var conns sync.WaitGroup
	conns.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			conns.Go(func() { defer c.Close(); f(c.(*net.TCPConn)) })
		}
	})
	t.Cleanup(func() { l.Close(); conns.Wait() })
	return l.Addr().String()
}

func echo(c *net.TCPConn) { _, _ = io.Copy(struct{ io.Writer }{c}, struct{ io.Reader }{c}) }

func readAndReset(c *net.TCPConn) {
	_, _ = c.Read(make([]byte, 1))
	_ = c.SetLinger(0)
}

func dial(t testing.TB, address string) *net.TCPConn {
	t.Helper()
	c, err := net.Dial("tcp4", address)
	if err != nil {
		t.Fatal(err)
	}
	_ = c.SetDeadline(time.Now().Add(patience))
	return c.(*net.TCPConn)
}

// exchange sends data and returns what came back until the end.
func exchange(t testing.TB, address string, data []byte) []byte {
	t.Helper()
	c := dial(t, address)
	defer c.Close()
	go func() { _, _ = c.Write(data); _ = c.CloseWrite() }()
	got, err := io.ReadAll(c)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func eventually(t testing.TB, what string, f func() error) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for {
		err := f()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: %v", what, err)
		}
		time.Sleep(2 * time.Millisecond)
	}
}

func (r *rig) value(name string, want map[string]string) float64 {
	r.t.Helper()
	resp, err := http.Get("http://" + r.stats + "/stats/prometheus")
	if err != nil {
		r.t.Fatal(err)
	}
	defer resp.Body.Close()
	defer http.DefaultClient.CloseIdleConnections()
	parser := expfmt.NewTextParser(model.LegacyValidation)
	families, err := parser.TextToMetricFamilies(resp.Body)
	if err != nil {
		r.t.Fatalf("a real parser refuses the metrics: %v", err)
	}
	if families[name] == nil {
		r.t.Fatalf("there is no metric %s", name)
	}
	total := 0.0
	for _, m := range families[name].Metric {
		labels := map[string]string{}
		for _, l := range m.Label {
			labels[l.GetName()] = l.GetValue()
		}
		if includes(labels, want) {
			total += m.GetCounter().GetValue() + m.GetGauge().GetValue()
		}
	}
	return total
}

func includes(labels, want map[string]string) bool {
	for k, v := range want {
		if labels[k] != v {
			return false
		}
	}
	return true
}

func TestCarriesBothWays(t *testing.T) {
	r := newRig(t, nil)
	r.sendTo(backend(t, echo))
	data := bytes.Repeat([]byte("0123456789abcdef"), 64<<10) // 1 MiB
	for _, way := range []struct{ address, cluster, reporter string }{
		{r.outbound, config.PassthroughCluster, "source"},
		{r.inbound, config.InboundPassthroughCluster, "destination"},
	} {
		if got := exchange(t, way.address, data); !bytes.Equal(got, data) {
			t.Errorf("%s: %d bytes came back, not the %d sent", way.cluster, len(got), len(data))
		}
		eventually(t, "counters", func() error { return r.counted(way.cluster, way.reporter, float64(len(data))) })
	}
	if n := r.value("envoy_pillion_spliced_bytes_total", nil); n < 3<<20 {
		t.Errorf("%v bytes of 4 MiB were spliced", n)
	}
}

func (r *rig) counted(cluster, reporter string, size float64) error {
	c := map[string]string{"cluster_name": cluster}
	i := map[string]string{"reporter": reporter, "destination_service_name": cluster, "request_protocol": "tcp", "response_flags": "-"}
	for name, want := range map[string]float64{
		"envoy_cluster_upstream_cx_total": 1, "envoy_cluster_upstream_cx_destroy": 1, "envoy_cluster_upstream_cx_active": 0,
		"envoy_cluster_upstream_cx_rx_bytes_total": size, "envoy_cluster_upstream_cx_tx_bytes_total": size,
	} {
		if got := r.value(name, c); got != want {
			return fmt.Errorf("%s is %v, want %v", name, got, want)
		}
	}
	for name, want := range map[string]float64{
		"istio_tcp_connections_opened_total": 1, "istio_tcp_connections_closed_total": 1,
		"istio_tcp_sent_bytes_total": size, "istio_tcp_received_bytes_total": size,
	} {
		if got := r.value(name, i); got != want {
			return fmt.Errorf("%s is %v, want %v", name, got, want)
		}
	}
	return nil
}

// TestCountersOfOpenConnections: a scrape sees bytes of connections that have not ended, and never twice.
func TestCountersOfOpenConnections(t *testing.T) {
	r := newRig(t, nil)
	r.sendTo(backend(t, echo))
	c := dial(t, r.outbound)
	defer c.Close()
	for i := range 3 {
		if _, err := c.Write(make([]byte, 100)); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(c, make([]byte, 100)); err != nil {
			t.Fatal(err)
		}
		eventually(t, "bytes of an open connection", func() error {
			if n := r.value("istio_tcp_sent_bytes_total", nil); n != float64(100*(i+1)) {
				return fmt.Errorf("%v bytes, want %d", n, 100*(i+1))
			}
			return nil
		})
	}
	if n := r.Active(); n != 1 {
		t.Errorf("%d connections are active", n)
	}
}

var variable = regexp.MustCompile(`^\[\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z\] | \d+ - "-" "-" "-" "-" |127\.\d+\.\d+\.\d+:\d+`)

// TestAccessLog is the line of each way a connection can end, with what changes from run to run taken out.
func TestAccessLog(t *testing.T) {
	closed := listen(t)
	closed.Close()
	quiet := func(*net.TCPConn) {}
	hello := func(c *net.TCPConn) { _, _ = c.Write([]byte("hello")); _ = c.CloseWrite() }
	letter := func(c *net.TCPConn) { _, _ = c.Write([]byte("x")) }
	for _, c := range []struct {
		name, to string
		talk     func(*net.TCPConn)
		want     string
	}{
		{"carried", backend(t, echo), hello, `"- - -" 0 - - - "-" 5 5<> "<addr>" PassthroughCluster <addr> <addr> <addr> - -`},
		{"connect failed", closed.Addr().String(), quiet, `"- - -" 0 UF - - "-" 0 0<> "<addr>" PassthroughCluster - <addr> <addr> - -`},
		{"loop", "10.0.0.1:15001", quiet, `"- - -" 0 UH - - "-" 0 0<> "-" BlackHoleCluster - 10.0.0.1:15001 <addr> - -`},
		{"ourselves", "[::1]:15020", quiet, `"- - -" 0 NC - - "-" 0 0<> "-" PassthroughCluster - [::1]:15020 <addr> - -`},
		{"reset by the server", backend(t, readAndReset), letter, `"- - -" 0 UR - - "-" 1 0<> "<addr>" PassthroughCluster <addr> <addr> <addr> - -`},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t, nil)
			r.sendTo(c.to)
			conn := dial(t, r.outbound)
			c.talk(conn)
			_, _ = io.Copy(io.Discard, conn)
			conn.Close()
			eventually(t, "the end of the connection", func() error {
				if r.value("envoy_server_total_connections", nil) != 0 {
					return errors.New("still open")
				}
				return nil
			})
			r.close()
			line := mask(r.log.String())
			if line != c.want+"\n" {
				t.Errorf("got  %swant %s", line, c.want)
			}
		})
	}
}

func mask(line string) string {
	return variable.ReplaceAllStringFunc(line, func(s string) string {
		switch s[0] {
		case '[':
			return ""
		case ' ':
			return "<> "
		default:
			return "<addr>"
		}
	})
}

// TestLimit: connections beyond the limit are closed at once and counted, and a place that gets free is used again.
func TestLimit(t *testing.T) {
	r := newRig(t, func(o *Options) { o.MaxConns = 2 })
	r.sendTo(backend(t, echo))
	first := open(t, r.outbound)
	second := open(t, r.outbound)
	defer second.Close()
	third := dial(t, r.outbound)
	defer third.Close()
	if _, err := third.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("the third connection isn't closed: %v", err)
	}
	if n := r.value("envoy_listener_downstream_global_cx_overflow", nil); n != 1 {
		t.Errorf("%v overflows counted", n)
	}
	first.Close()
	eventually(t, "a free place", func() error {
		if n := r.Active(); n != 1 {
			return fmt.Errorf("%d connections", n)
		}
		return nil
	})
	eventually(t, "a new connection", func() error {
		c := dial(t, r.outbound)
		defer c.Close()
		_, _ = c.Write([]byte("x"))
		_, err := io.ReadFull(c, make([]byte, 1))
		return err
	})
}

// open returns a connection through which a byte has gone both ways.
func open(t testing.TB, address string) *net.TCPConn {
	t.Helper()
	c := dial(t, address)
	if _, err := c.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(c, make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	return c
}

// TestPanics: a panic costs its connection; the third in a row ends the process.
func TestPanics(t *testing.T) {
	r := newRig(t, func(o *Options) {
		o.OriginalDst = func(*socket.Conn) (netip.AddrPort, error) { panic("test") }
	})
	for i := range 3 {
		select {
		case err := <-r.Fatal():
			t.Fatalf("fatal after %d panics: %v", i, err)
		default:
		}
		c := dial(t, r.outbound)
		if _, err := c.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("the connection isn't closed: %v", err)
		}
		c.Close()
	}
	select {
	case <-r.Fatal():
	case <-time.After(patience):
		t.Error("three panics aren't fatal")
	}
	if n := r.value("envoy_pillion_panic", nil); n != 3 {
		t.Errorf("%v panics counted", n)
	}
}

func TestPanicsFarApart(t *testing.T) {
	now := time.Now()
	fatal := false
	g := &guard{log: logr.Discard(), panics: new(telemetry.Counter), now: func() time.Time { return now }, tooMany: func() { fatal = true }}
	for range 20 {
		g.run(func() { panic("test") })
		now = now.Add(6 * time.Second)
	}
	if fatal {
		t.Error("two panics in ten seconds are fatal")
	}
}

// TestNothingLeft: after many connections of every kind, goroutines and descriptors are as before.
func TestNothingLeft(t *testing.T) {
	goroutines, fds := runtime.NumGoroutine(), countFDs(t)
	t.Run("traffic", func(t *testing.T) {
		r := newRig(t, nil)
		reset := backend(t, readAndReset)
		for _, to := range []string{backend(t, echo), reset, "127.0.0.1:1", "127.0.0.1:15001"} {
			r.sendTo(to)
			var wait sync.WaitGroup
			for range 20 {
				wait.Go(func() { traffic(t, r.outbound) })
			}
			wait.Wait()
		}
		r.sendTo(backend(t, echo))
		left := open(t, r.outbound)
		r.close() // ends it
		if _, err := left.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("a connection outlives its proxy: %v", err)
		}
		left.Close()
	})
	eventually(t, "goroutines and descriptors", func() error {
		if g, f := runtime.NumGoroutine(), countFDs(t); g > goroutines || f > fds {
			return fmt.Errorf("%d goroutines and %d descriptors, there were %d and %d", g, f, goroutines, fds)
		}
		return nil
	})
}

func traffic(t *testing.T, address string) {
	c := dial(t, address)
	defer c.Close()
	go func() { _, _ = c.Write(make([]byte, 300<<10)); _ = c.CloseWrite() }()
	_, _ = io.Copy(io.Discard, c)
}

func countFDs(t testing.TB) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}

func TestUnknownSocket(t *testing.T) {
	r := newRig(t, nil)
	l := listen(t)
	defer l.Close()
	if err := r.Take(map[string]net.Listener{"4711/tcp4": l}); err == nil || !strings.Contains(err.Error(), "unknown") {
		t.Errorf("error %v", err)
	}
}

func TestDrainingIsShown(t *testing.T) {
	r := newRig(t, nil)
	if r.value("envoy_server_live", nil) != 1 || r.value("envoy_server_state", nil) != 0 {
		t.Error("not live")
	}
	r.Drain(0, true)
	if r.value("envoy_server_live", nil) != 0 || r.value("envoy_server_state", nil) != 1 {
		t.Error("not draining")
	}
	if r.value("envoy_server_hot_restart_epoch", nil) != 3 {
		t.Error("wrong epoch")
	}
}

// lockedBuffer is a sink of the access log that a test reads.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
