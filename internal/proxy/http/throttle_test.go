package http

import (
	"context"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
	"github.com/pillion-mesh/pillion/internal/proxy/httpfilter/filter"
	"github.com/pillion-mesh/pillion/internal/proxy/stream"
)

// throttling has every answer be slow.
type throttling struct {
	rate   uint64
	active *atomic.Int64
}

func (f throttling) Request(_ context.Context, x *stream.Exchange, _ *stream.Trace) *filter.Reply {
	f.active.Add(1)
	x.Throttle = &stream.Throttle{Rate: f.rate, End: func() { f.active.Add(-1) }}
	return nil
}

func (throttling) Response(*stream.Exchange) {}
func (throttling) End(*stream.Exchange)      {}

func throttledRig(t *testing.T, rate uint64, size int) (*rig, *atomic.Int64) {
	active := new(atomic.Int64)
	backend := served(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, strings.Repeat("x", size)) })
	return newRig(t, []string{backend}, func(r *rig) {
		r.cfg.Codec = config.CodecAuto
		r.engine.opts.Filters = func(*config.HTTPManager) (Filters, error) { return throttling{rate, active}, nil }
	}), active
}

// TestThrottle: a throttled answer is whole, and takes its time, over both versions of HTTP.
func TestThrottle(t *testing.T) {
	const rate, size = 20 << 10, 8 << 10
	r, active := throttledRig(t, rate, size)
	for _, http2 := range []bool{false, true} {
		client := &http.Client{Timeout: patient, Transport: &http.Transport{Protocols: new(http.Protocols)}}
		protocols := client.Transport.(*http.Transport).Protocols
		protocols.SetHTTP1(!http2)
		protocols.SetUnencryptedHTTP2(http2)
		began := time.Now()
		answer, err := client.Get("http://" + r.address + "/")
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(answer.Body)
		answer.Body.Close()
		if err != nil || len(body) != size {
			t.Errorf("HTTP/2 %v: %d bytes, %v", http2, len(body), err)
		}
		// The first slice leaves at once.
		if least := time.Second * (size - rate/slices) / rate; time.Since(began) < least {
			t.Errorf("HTTP/2 %v: took %v, at least it must %v", http2, time.Since(began), least)
		}
		client.CloseIdleConnections()
	}
	eventually(t, func() bool { return active.Load() == 0 }, func() string { return "an answer hasn't ended" })
}

// TestThrottleGone: a client that goes away ends an answer that would take hours.
func TestThrottleGone(t *testing.T) {
	r, active := throttledRig(t, 1, 1<<20)
	for _, http2 := range []bool{false, true} {
		transport := &http.Transport{Protocols: new(http.Protocols)}
		transport.Protocols.SetHTTP1(!http2)
		transport.Protocols.SetUnencryptedHTTP2(http2)
		answer, err := (&http.Client{Transport: transport}).Get("http://" + r.address + "/")
		if err != nil {
			t.Fatal(err)
		}
		if n := active.Load(); n != 1 {
			t.Errorf("HTTP/2 %v: %d answers are slow", http2, n)
		}
		answer.Body.Close() // breaks it off
		eventually(t, func() bool { return active.Load() == 0 }, func() string { return "an answer hasn't ended" })
		transport.CloseIdleConnections()
	}
}
