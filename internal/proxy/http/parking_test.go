package http

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/pillion-mesh/pillion/internal/proxy/tlsctx/tlstest"
)

// parkedSoon makes a rig park connections with the wheel's next turn.
func parkedSoon(r *rig) {
	usual(r) // answers have all the same length
	r.engine.parkAfter = 1
}

// parked waits until n connections have no goroutine.
func (r *rig) parked(n int) {
	r.t.Helper()
	count := func() (have int) {
		r.engine.each(func(c conn) {
			if h, ok := c.(*h1Conn); ok && phase(h.phase.Load()) == parked {
				have++
			}
		})
		return have
	}
	eventually(r.t, func() bool { return count() == n }, func() string { return "connections aren't parked" })
}

func TestParkedConnectionsServeOn(t *testing.T) {
	r := newRig(t, []string{answering(t)}, parkedSoon)
	before := runtime.NumGoroutine()
	const many = 50
	all := make([]*keptAlive, many)
	for i := range all {
		all[i] = newKeptAlive(t, r)
	}
	for range 2 {
		r.parked(many)
		eventually(t, func() bool { return runtime.NumGoroutine() < before+many }, func() string { return "they still have goroutines" })
		for _, k := range all {
			k.once(t)
		}
	}
}

func TestParkedConnectionTakesARequestInPieces(t *testing.T) {
	r := newRig(t, []string{answering(t)}, parkedSoon)
	k := newKeptAlive(t, r)
	r.parked(1)
	if _, err := k.conn.Write(k.request[:7]); err != nil {
		t.Fatal(err)
	}
	r.parked(0)
	if _, err := k.conn.Write(k.request[7:]); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(k.conn, k.buf[:k.size]); err != nil {
		t.Fatal(err)
	}
	r.parked(1)
}

// ended waits until the other side has closed.
func ended(t *testing.T, conn net.Conn) {
	t.Helper()
	if n, err := conn.Read(make([]byte, 1)); n > 0 || err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("read %d bytes, %v; want the end", n, err)
	}
}

func TestParkedConnectionsEnd(t *testing.T) {
	for name, end := range map[string]func(*rig, net.Conn){
		"by the client": func(r *rig, c net.Conn) { _ = c.(*net.TCPConn).CloseWrite() },
		"by drain":      func(r *rig, _ net.Conn) { r.engine.Close(context.Background()) },
		"by abort": func(r *rig, _ net.Conn) {
			ctx, cancel := context.WithCancel(context.Background())
			cancel()
			r.engine.Close(ctx)
		},
		"by time": func(r *rig, _ net.Conn) {},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, []string{answering(t)}, func(r *rig) {
				parkedSoon(r)
				if name == "by time" {
					r.cfg.IdleTimeout = 3 * tick
				}
			})
			k := newKeptAlive(t, r)
			if name != "by time" {
				r.parked(1)
			}
			end(r, k.conn)
			ended(t, k.conn)
			eventually(t, func() bool { return r.engine.Active() == 0 }, func() string { return "the connection isn't forgotten" })
		})
	}
}

func TestParkedConnectionBehindTLS(t *testing.T) {
	own := tlstest.NewAuthority(t, "test").Server(t, "127.0.0.1")
	r := newRig(t, []string{answering(t)}, func(r *rig) {
		parkedSoon(r)
		r.secure = &tls.Config{Certificates: []tls.Certificate{{Certificate: own.Chain, PrivateKey: own.Key}}}
	})
	conn := tls.Client(r.raw(), &tls.Config{InsecureSkipVerify: true}) //nolint:gosec // who it is doesn't matter here
	reader := bufio.NewReader(conn)
	for range 3 {
		if _, err := io.WriteString(conn, usualRequest); err != nil {
			t.Fatal(err)
		}
		answer, err := http.ReadResponse(reader, nil)
		if err != nil {
			t.Fatal(err)
		}
		if text, err := io.ReadAll(answer.Body); err != nil || len(text) != 23 {
			t.Fatalf("%q, %v", text, err)
		}
		r.parked(1)
	}
}

// TestRequestsWhileParking sends requests at about the times when the connection is parked.
func TestRequestsWhileParking(t *testing.T) {
	r := newRig(t, []string{answering(t)}, parkedSoon)
	var all sync.WaitGroup
	for i := range 20 {
		k := newKeptAlive(t, r)
		all.Go(func() {
			pause := time.NewTicker(tick + time.Duration(i-10)*time.Millisecond)
			defer pause.Stop()
			for range 10 {
				<-pause.C
				_, err := k.conn.Write(k.request)
				if err == nil {
					_, err = io.ReadFull(k.conn, k.buf[:k.size])
				}
				if err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	all.Wait()
}
