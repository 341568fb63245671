package rig

import (
	"net"
	"net/http"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/pillion-mesh/pillion/internal/proxy/socket/sockettest"
)

// Listen opens a socket on loopback.
func Listen(t testing.TB) net.Listener {
	t.Helper()
	l := sockettest.Listen(t)
	return l
}

// Dial connects to an address. The connection is closed with the test at the latest.
func Dial(t testing.TB, address string) *net.TCPConn {
	t.Helper()
	c, err := net.Dial("tcp4", address)
	if err != nil {
		t.Fatal(err)
	}
	_ = c.SetDeadline(time.Now().Add(Patience))
	t.Cleanup(func() { c.Close() })
	return c.(*net.TCPConn)
}

// Scripted is a backend that does with each connection what serve does. It returns its address.
func Scripted(t testing.TB, serve func(*net.TCPConn)) string {
	t.Helper()
	l := Listen(t)
	var all sync.WaitGroup
	all.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			all.Go(func() {
				defer c.Close()
				_ = c.SetDeadline(time.Now().Add(Patience))
				serve(c.(*net.TCPConn))
			})
		}
	})
	t.Cleanup(func() { l.Close(); all.Wait() })
	return l.Addr().String()
}

// Served is a backend of net/http for both versions. It returns its address.
func Served(t testing.TB, h http.HandlerFunc) string {
	t.Helper()
	l := Listen(t)
	s := &http.Server{Handler: h, Protocols: new(http.Protocols), ReadHeaderTimeout: Patience}
	s.Protocols.SetHTTP1(true)
	s.Protocols.SetUnencryptedHTTP2(true)
	var served sync.WaitGroup
	served.Go(func() { _ = s.Serve(l) })
	t.Cleanup(func() { _ = s.Close(); served.Wait() })
	return l.Addr().String()
}

// Client is a client of net/http, of version 1 or 2, that follows nothing and compresses nothing.
func Client(t testing.TB, version int) *http.Client {
	transport := &http.Transport{DisableCompression: true, Protocols: new(http.Protocols)}
	if version == 2 {
		transport.Protocols.SetUnencryptedHTTP2(true)
	} else {
		transport.Protocols.SetHTTP1(true)
	}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{
		Transport: transport, Timeout: Patience,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

func address(host string) JSON {
	a := netip.MustParseAddrPort(host)
	return JSON{"socket_address": JSON{"address": a.Addr().String(), "port_value": a.Port()}}
}
