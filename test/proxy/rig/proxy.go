package rig

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/pillion-mesh/pillion/internal/proxy"
	"github.com/pillion-mesh/pillion/internal/proxy/config/xds"
	tcpsocket "github.com/pillion-mesh/pillion/internal/proxy/socket"
)

// Patience bounds every wait: what is waited for takes milliseconds on a machine that isn't busy.
const Patience = 60 * time.Second

// Proxy is one whole proxy.
type Proxy struct {
	*proxy.Server
	Address string // where its listener "inbound" takes connections
	stats   string
	t       testing.TB
	log     Log
	once    sync.Once
}

// Start starts a proxy and waits until its configuration is there. It ends with the test.
func Start(t testing.TB, bootstrap JSON) *Proxy {
	t.Helper()
	text, err := json.Marshal(bootstrap)
	if err != nil {
		t.Fatal(err)
	}
	b, err := xds.Bootstrap(text)
	if err != nil {
		t.Fatal(err)
	}
	p := &Proxy{t: t}
	p.Server, err = proxy.New(proxy.Options{
		Bootstrap: b, MaxConns: 10000, AccessLog: &p.log, Log: logr.Discard(), OriginalDst: acceptedAt,
		OwnPorts: []uint16{},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	inbound, stats := Listen(t), Listen(t)
	p.Address, p.stats = inbound.Addr().String(), stats.Addr().String()
	err = p.Take(map[string]net.Listener{proxy.SocketInbound + "/tcp4": inbound, proxy.SocketStats + "/tcp4": stats})
	if err != nil {
		t.Fatal(err)
	}
	select {
	case <-p.Warm():
	case <-time.After(Patience):
		t.Fatal("the configuration isn't whole")
	}
	if err := p.Accept(); err != nil {
		t.Fatal(err)
	}
	return p
}

// acceptedAt stands for the original destination: there are no capture rules here.
func acceptedAt(c *tcpsocket.Conn) (netip.AddrPort, error) { return c.Local(), nil }

// Close ends the proxy, if it is still there, and has its log written. A connection that isn't idle has 20 seconds.
func (p *Proxy) Close() {
	p.once.Do(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		p.Server.Close(ctx)
		select {
		case err := <-p.Fatal():
			p.t.Errorf("the proxy wanted to end: %v", err)
		default:
		}
	})
}

// Log returns the lines of the access log. It ends the proxy.
func (p *Proxy) Log() []string {
	p.Close()
	return p.log.Lines()
}

// Logged is how many lines have reached the access log; they do within a second.
func (p *Proxy) Logged() int { return len(p.log.Lines()) }

// Stat is the sum of a metric's samples whose labels have all of want's. 0: there is none.
func (p *Proxy) Stat(name string, want map[string]string) (total float64) {
	p.t.Helper()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: Patience}
	resp, err := client.Get("http://" + p.stats + "/stats/prometheus")
	if err != nil {
		p.t.Fatal(err)
	}
	defer resp.Body.Close()
	parser := expfmt.NewTextParser(model.LegacyValidation)
	families, err := parser.TextToMetricFamilies(resp.Body)
	if err != nil {
		p.t.Fatalf("a real parser refuses the metrics: %v", err)
	}
	if families[name] == nil {
		return 0
	}
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

// Dial connects to the proxy. The connection is closed with the test at the latest.
func (p *Proxy) Dial() *net.TCPConn {
	p.t.Helper()
	return Dial(p.t, p.Address)
}

// End is a last request: behind it the proxy closes the connection. A client that says its end by FIN instead is given up
// if its answer takes half a second, which it may on a busy machine.
const End = "GET /end HTTP/1.1\r\nHost: end\r\nConnection: close\r\n\r\n"

// Exchange sends message and End on a connection of its own, and returns all that is answered.
func (p *Proxy) Exchange(message string) string {
	p.t.Helper()
	c := p.Dial()
	go func() { _, _ = io.WriteString(c, message+End) }()
	got, err := io.ReadAll(c)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		p.t.Errorf("no end of the answer after %q", got)
	}
	return string(got)
}

// Log collects lines while a test reads them.
type Log struct {
	mu sync.Mutex
	b  bytes.Buffer
}

// Write implements io.Writer.
func (l *Log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

// Lines are the whole lines so far.
func (l *Log) Lines() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	text := strings.TrimSuffix(l.b.String(), "\n")
	if text == "" {
		return nil
	}
	return strings.Split(text, "\n")
}

// Eventually waits until f finds nothing wrong.
func Eventually(t testing.TB, what string, f func() error) {
	t.Helper()
	for deadline := time.Now().Add(Patience); ; time.Sleep(2 * time.Millisecond) {
		err := f()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: %v", what, err)
		}
	}
}
