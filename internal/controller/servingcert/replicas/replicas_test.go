package replicas

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

const serverName = "pillion.mesh.svc"

// leaf is a self-signed certificate that says who serves it.
func leaf(t *testing.T, who string) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: who},
		NotBefore: time.Now().Add(-2 * time.Hour), NotAfter: time.Now().Add(-time.Hour)} // even an expired one is an answer
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	must(t, err)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// serve handles connections at an address of the loopback. The test ends when the last of them does: who looks closes
// what it opened.
func serve(t *testing.T, host string, handle func(net.Conn)) string {
	t.Helper()
	l, err := net.Listen("tcp", net.JoinHostPort(host, "0"))
	must(t, err)
	var wait sync.WaitGroup
	wait.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			wait.Go(func() {
				defer c.Close()
				handle(c)
			})
		}
	})
	t.Cleanup(func() { l.Close(); wait.Wait() })
	return l.Addr().String()
}

// replica serves a leaf under the Service's name, and another under any other.
func replica(t *testing.T, host, who string) string {
	t.Helper()
	own, other := leaf(t, who), leaf(t, "not of the Service")
	config := &tls.Config{GetCertificate: func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
		if hello.ServerName == serverName {
			return &own, nil
		}
		return &other, nil
	}}
	return serve(t, host, func(c net.Conn) {
		server := tls.Server(c, config)
		if err := server.Handshake(); err != nil {
			t.Errorf("the replica sees a failed handshake, which its metrics count: %v", err)
		}
		_, _ = io.Copy(io.Discard, server)
	})
}

func refusing(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	must(t, l.Close())
	return l.Addr().String()
}

func looker(endpoints ...Endpoint) *Looker {
	return &Looker{ServerName: serverName, Dial: new(net.Dialer).DialContext,
		Endpoints: func(context.Context) ([]Endpoint, error) { return endpoints, nil }}
}

func TestLookSeesWhatIsServed(t *testing.T) {
	hanging := serve(t, "127.0.0.1", func(c net.Conn) { _, _ = io.Copy(io.Discard, c) })
	garbage := serve(t, "127.0.0.1", func(c net.Conn) { _, _ = io.WriteString(c, "HTTP/1.1 400 Bad Request\r\n\r\n") })
	reset := serve(t, "127.0.0.1", func(c net.Conn) { // with what was sent unread
		_, _ = c.Read(make([]byte, 1))
		_ = c.(*net.TCPConn).SetLinger(0)
		_ = c.Close()
	})
	gone := refusing(t)
	a, b := replica(t, "127.0.0.1", "first"), replica(t, "127.0.0.1", "second")
	rows := []struct {
		Endpoint
		leaf  string // "": a Fault
		words string
	}{
		{Endpoint{Name: "a", Addresses: []string{a}}, "first", ""},
		{Endpoint{Name: "b", Addresses: []string{b}}, "second", ""},
		{Endpoint{Name: "c", Addresses: []string{hanging}}, "", context.DeadlineExceeded.Error()},
		{Endpoint{Name: "d", Addresses: []string{gone}}, "", "refused"},
		{Endpoint{Name: "e", Addresses: []string{garbage}}, "", "does not look like a TLS handshake"},
		{Endpoint{Name: "f", Addresses: []string{gone, b}}, "second", ""},
		{Endpoint{Name: "g", Fault: errors.New("no such port")}, "", "no such port"},
		{Endpoint{Name: "h"}, "", "no address"},
		{Endpoint{Name: "i", Addresses: []string{a}, Fault: errors.New("of its other slice")}, "first", ""},
		{Endpoint{Name: "j", Addresses: []string{reset}}, "", "TLS handshake with " + reset + ": read: connection reset by peer"},
	}
	var endpoints []Endpoint
	for i := range rows {
		endpoints = append(endpoints, rows[len(rows)-1-i].Endpoint) // sorting is Look's
	}
	served, err := looker(endpoints...).Look(t.Context())
	must(t, err)
	if len(served) != len(rows) {
		t.Fatalf("%d replicas, want %d", len(served), len(rows))
	}
	for i, row := range rows {
		s := served[i]
		switch {
		case s.Name != row.Name:
			t.Errorf("replica %d is %s, want %s", i, s.Name, row.Name)
		case (s.Leaf == nil) != (s.Fault != nil):
			t.Errorf("%s: leaf %v and fault %v", s.Name, s.Leaf, s.Fault)
		case row.leaf != "" && (s.Leaf == nil || s.Leaf.Subject.CommonName != row.leaf):
			t.Errorf("%s: %+v, want the leaf of %s", s.Name, s, row.leaf)
		case row.leaf == "" && (s.Fault == nil || !strings.Contains(s.Fault.Error(), row.words)):
			t.Errorf("%s: %v, want %q", s.Name, s.Fault, row.words)
		}
	}
}

func TestLookAtIPv6(t *testing.T) {
	if l, err := net.Listen("tcp", "[::1]:0"); err != nil {
		t.Skipf("skipped, no IPv6 here: %v", err)
	} else {
		must(t, l.Close())
	}
	served, err := looker(Endpoint{Name: "a", Addresses: []string{replica(t, "::1", "six")}}).Look(t.Context())
	must(t, err)
	if served[0].Fault != nil || served[0].Leaf.Subject.CommonName != "six" || !strings.HasPrefix(served[0].Address, "[::1]:") {
		t.Errorf("%+v", served[0])
	}
}

// TestLookAtMany: more replicas than are asked at once, and never more at once than that.
func TestLookAtMany(t *testing.T) {
	const many = 3*atOnce + 1
	address := replica(t, "127.0.0.1", "all")
	l := looker()
	l.Endpoints = func(context.Context) (all []Endpoint, _ error) {
		for i := range many {
			all = append(all, Endpoint{Name: fmt.Sprintf("%02d", i), Addresses: []string{address}})
		}
		return all, nil
	}
	full := make(chan struct{}) // closed when as many as may be are waiting
	var fill sync.Once
	var open, most atomic.Int64
	l.Dial = func(ctx context.Context, network, to string) (net.Conn, error) {
		now := open.Add(1)
		defer open.Add(-1)
		for was := most.Load(); now > was && !most.CompareAndSwap(was, now); was = most.Load() {
		}
		if now == atOnce {
			fill.Do(func() { close(full) })
		}
		select {
		case <-full:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		return new(net.Dialer).DialContext(ctx, network, to)
	}
	served, err := l.Look(t.Context())
	must(t, err)
	if len(served) != many || most.Load() != atOnce {
		t.Errorf("%d served, %d at once; want %d and %d", len(served), most.Load(), many, atOnce)
	}
	for _, s := range served {
		if s.Fault != nil {
			t.Errorf("%s: %v", s.Name, s.Fault)
		}
	}
}

func TestLookEnds(t *testing.T) {
	hanging := serve(t, "127.0.0.1", func(c net.Conn) { _, _ = io.Copy(io.Discard, c) })
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := looker(Endpoint{Name: "a", Addresses: []string{hanging}}).Look(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("after its context's end: %v", err)
	}
	l := looker()
	l.Endpoints = func(context.Context) ([]Endpoint, error) { return nil, errors.New("no slices") }
	if _, err := l.Look(t.Context()); err == nil || err.Error() != "no slices" {
		t.Errorf("unknown endpoints: %v", err)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
