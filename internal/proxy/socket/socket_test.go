package socket

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/pillion-mesh/pillion/internal/proxy/socket/sockettest"
)

const patience = 30 * time.Second

func listen(t *testing.T, network, address string) *Listener {
	t.Helper()
	l, err := net.Listen(network, address)
	if network == "tcp6" && (errors.Is(err, unix.EADDRNOTAVAIL) || errors.Is(err, unix.EAFNOSUPPORT)) {
		t.Skipf("no IPv6 here: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	on, err := Listen(l)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { on.Close() })
	return on
}

func at(t *testing.T, a net.Addr) netip.AddrPort {
	t.Helper()
	to := a.(*net.TCPAddr).AddrPort()
	return netip.AddrPortFrom(to.Addr().Unmap(), to.Port())
}

// pair is both ends of a connection.
func pair(t *testing.T, l *Listener, d Dialer, to netip.AddrPort) (here, there *Conn) {
	t.Helper()
	here, err := d.Dial(t.Context(), to)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { here.Close() })
	if there, err = l.AcceptConn(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { there.Close() })
	for _, c := range []*Conn{here, there} {
		if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
			t.Fatal(err)
		}
	}
	return here, there
}

// TestAddresses: both ends know both addresses, in both families, and an IPv4 client of a socket for both is IPv4.
func TestAddresses(t *testing.T) {
	for _, c := range []struct{ network, listen, to, from string }{
		{"tcp4", "127.0.0.1:0", "127.0.0.1", ""}, {"tcp6", "[::1]:0", "::1", ""},
		{"tcp", "[::]:0", "127.0.0.1", "127.0.0.9"}, {"tcp4", "0.0.0.0:0", "127.0.0.7", "127.0.0.6"},
	} {
		l := listen(t, c.network, c.listen)
		to := netip.AddrPortFrom(netip.MustParseAddr(c.to), at(t, l.Addr()).Port())
		d := Dialer{Timeout: patience}
		if c.from != "" {
			d.Source = netip.MustParseAddr(c.from)
		}
		here, there := pair(t, l, d, to)
		original, err := there.OriginalDst()
		switch {
		case here.Remote() != to, there.Local() != to, err != nil, original != to:
			t.Errorf("%s: dialled %s, accepted at %s, meant for %s (%v), want %s", c.listen, here.Remote(), there.Local(), original, err, to)
		case here.Local() != there.Remote(), c.from != "" && here.Local().Addr() != d.Source:
			t.Errorf("%s: dialled from %s, the other side says %s", c.listen, here.Local(), there.Remote())
		case at(t, here.LocalAddr()) != here.Local(), at(t, there.RemoteAddr()) != there.Remote():
			t.Errorf("%s: package net's forms differ", c.listen)
		}
	}
}

func TestHalfClose(t *testing.T) {
	l := listen(t, "tcp4", "127.0.0.1:0")
	here, there := pair(t, l, Dialer{}, at(t, l.Addr()))
	if _, err := here.Write([]byte("ping")); err != nil {
		t.Fatal(err)
	}
	if err := here.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if b, err := io.ReadAll(there); err != nil || string(b) != "ping" {
		t.Errorf("%q, %v", b, err)
	}
	if _, err := there.Write([]byte("pong")); err != nil {
		t.Fatal(err)
	}
	there.Close()
	if b, err := io.ReadAll(here); err != nil || string(b) != "pong" {
		t.Errorf("%q, %v", b, err)
	}
}

func TestReset(t *testing.T) {
	l := listen(t, "tcp4", "127.0.0.1:0")
	here, there := pair(t, l, Dialer{}, at(t, l.Addr()))
	if err := errors.Join(there.SetLinger(0), there.Close()); err != nil {
		t.Fatal(err)
	}
	var op *net.OpError
	if _, err := here.Read(make([]byte, 1)); !errors.Is(err, unix.ECONNRESET) || !errors.As(err, &op) {
		t.Errorf("%v", err)
	}
}

// TestErrors are as of package net: who closes a connection or sets its deadline ends a read of another one, and TLS goes
// on after a deadline.
func TestErrors(t *testing.T) {
	l := listen(t, "tcp4", "127.0.0.1:0")
	here, _ := pair(t, l, Dialer{}, at(t, l.Addr()))
	_ = here.SetReadDeadline(time.Unix(1, 0))
	_, err := here.Read(make([]byte, 1))
	var network net.Error
	if !errors.Is(err, os.ErrDeadlineExceeded) || !errors.As(err, &network) || !network.Timeout() || !network.Temporary() { //nolint:staticcheck // crypto/tls asks it
		t.Errorf("%v", err)
	}
	_ = here.SetReadDeadline(time.Time{})
	var reader sync.WaitGroup
	reader.Go(func() { _, err = here.Read(make([]byte, 1)) })
	here.Close()
	reader.Wait()
	if !errors.Is(err, net.ErrClosed) {
		t.Errorf("%v", err)
	}
	if err := here.Close(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("closed again: %v", err)
	}
	if err := here.CloseWrite(); !errors.Is(err, net.ErrClosed) && err == nil {
		t.Errorf("half-closed after that: %v", err)
	}
}

// TestBare: TLS over a connection isn't taken for the connection.
func TestBare(t *testing.T) {
	var conn net.Conn = tls.Client(&Conn{}, &tls.Config{})
	if _, ok := conn.(interface{ SetLinger(int) error }); ok {
		t.Error("TLS lingers")
	}
}

func TestRefused(t *testing.T) {
	l := listen(t, "tcp4", "127.0.0.1:0")
	to := at(t, l.Addr())
	l.Close()
	var op *net.OpError
	if _, err := (&Dialer{}).Dial(t.Context(), to); !errors.Is(err, unix.ECONNREFUSED) || !errors.As(err, &op) {
		t.Errorf("%v", err)
	}
}

// TestWaiting: a connection that nobody answers ends with the time it has, or with whoever wanted it.
func TestWaiting(t *testing.T) {
	to := sockettest.Full(t)
	if _, err := (&Dialer{Timeout: time.Millisecond}).Dial(t.Context(), to); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("%v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(time.Millisecond, cancel)
	if _, err := (&Dialer{}).Dial(ctx, to); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	ctx, cancel = context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if _, err := (&Dialer{}).Dial(ctx, to); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v", err)
	}
}

func TestControl(t *testing.T) {
	l := listen(t, "tcp4", "127.0.0.1:0")
	mine := errors.New("mine")
	if _, err := (&Dialer{Control: func(int) error { return mine }}).Dial(t.Context(), at(t, l.Addr())); !errors.Is(err, mine) {
		t.Errorf("%v", err)
	}
	if _, err := (&Dialer{}).Dial(t.Context(), netip.AddrPort{}); err == nil {
		t.Error("dialled nowhere")
	}
}

// TestListener: accepting ends with the context and with the socket, and both listeners of a socket get connections.
func TestListener(t *testing.T) {
	l := listen(t, "tcp4", "127.0.0.1:0")
	ctx, cancel := context.WithCancel(t.Context())
	defer l.InterruptWith(ctx)()
	var loop sync.WaitGroup
	loop.Go(func() {
		if _, err := l.Accept(); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("%v", err)
		}
	})
	cancel()
	loop.Wait()
	other := listen(t, "tcp4", "127.0.0.1:0")
	loop.Go(func() {
		if conn, err := other.Accept(); !errors.Is(err, net.ErrClosed) || conn != nil {
			t.Errorf("%v", err)
		}
	})
	other.Close()
	loop.Wait()
	if _, err := Listen(unixListener(t)); err == nil {
		t.Error("a Unix socket was taken for TCP")
	}
}

func unixListener(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("unix", t.TempDir()+"/s")
	if err != nil {
		t.Fatal(err)
	}
	return l
}
