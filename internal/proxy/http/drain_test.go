package http

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/http2"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
)

// TestDepartureAsks: nobody in the beginning, as many as time has passed, everybody in the end.
func TestDepartureAsks(t *testing.T) {
	const asked = 1000
	for _, c := range []struct {
		spread    uint64
		now, want int64
	}{{0, 5, asked}, {1000, 4, 0}, {1000, 5, 0}, {1000, 255, 250}, {1000, 1004, 999}, {1000, 1005, asked}, {1000, 9999, asked}} {
		d, n := departure{5, c.spread}, int64(0)
		for random := range uint64(asked) {
			if d.asks(c.now, func() uint64 { return random }) {
				n++
			}
		}
		if n != c.want {
			t.Errorf("%d of %d at %d, want %d of %d", c.spread, n, c.now, c.want, asked)
		}
	}
}

// TestGradualDrain: a drain that has just begun asks no client of HTTP/1.1 yet; one that is to be faster does, and isn't
// taken back.
func TestGradualDrain(t *testing.T) {
	backend := served(t, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "ok") })
	r := newRig(t, []string{backend}, func(r *rig) { r.engine.opts.Random = func() uint64 { return 1<<64 - 1 } })
	client := r.client()
	for _, step := range []struct {
		over  time.Duration
		close bool
	}{{1 << 62, false}, {0, true}, {1 << 62, true}} {
		r.engine.Drain(false, step.over)
		if answer, _ := r.do(client, "GET", "/", ""); answer.Close != step.close {
			t.Errorf("over %v: close %v", step.over, answer.Close)
		}
	}
}

// TestGradualDrainOfHTTP2: a connection without a request hears of it at once, one with a request when that has ended,
// and one whose request doesn't end when the time is over.
func TestGradualDrainOfHTTP2(t *testing.T) {
	begun, release := make(chan struct{}, 2), map[string]chan struct{}{"/short": make(chan struct{}), "/long": make(chan struct{})}
	backend := served(t, func(w http.ResponseWriter, r *http.Request) {
		if wait, there := release[r.URL.Path]; there {
			begun <- struct{}{}
			<-wait
		}
	})
	r := newRig(t, []string{backend}, func(r *rig) { r.cfg.Codec = config.CodecHTTP2 })
	idle, short, long := r.connectH2(), r.connectH2(), r.connectH2()
	var shortOver, longOver sync.WaitGroup
	shortOver.Go(func() { short.get(t, "/short") })
	longOver.Go(func() { long.get(t, "/long") })
	<-begun
	<-begun
	r.engine.Drain(false, 1<<62)
	r.untilDraining(idle)
	if !short.CanTakeNewRequest() || !long.CanTakeNewRequest() {
		t.Error("a connection with a request was told, too")
	}
	close(release["/short"])
	shortOver.Wait()
	r.untilDraining(short)
	if !long.CanTakeNewRequest() {
		t.Error("a connection with a request was told, too")
	}
	r.engine.Drain(false, 0)
	r.untilDraining(long)
	close(release["/long"])
	longOver.Wait()
}

type h2Client struct{ *http2.ClientConn }

func (r *rig) connectH2() h2Client {
	r.t.Helper()
	conn, err := net.Dial("tcp", r.address)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { conn.Close() })
	c, err := (&http2.Transport{AllowHTTP: true}).NewClientConn(conn)
	if err != nil {
		r.t.Fatal(err)
	}
	h2Client{c}.get(r.t, "/")
	return h2Client{c}
}

func (c h2Client) get(t testing.TB, path string) {
	ctx, cancel := context.WithTimeout(context.Background(), patient)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://test"+path, nil)
	if err != nil {
		t.Error(err)
		return
	}
	answer, err := c.RoundTrip(request)
	if err != nil {
		t.Error(err)
		return
	}
	answer.Body.Close()
}

// untilDraining waits until the client was told by GOAWAY.
func (r *rig) untilDraining(c h2Client) {
	r.t.Helper()
	eventually(r.t, func() bool { return !c.CanTakeNewRequest() }, func() string { return "no GOAWAY" })
}
