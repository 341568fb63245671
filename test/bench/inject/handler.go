package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"runtime"
	"runtime/debug"
	"strings"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/pillion-mesh/pillion/internal/inject"
	"github.com/pillion-mesh/pillion/internal/inject/injecttest"
	"github.com/pillion-mesh/pillion/internal/log"
	"github.com/pillion-mesh/pillion/webhook"
)

// Rounds of each case: the median round is printed, since other processes disturb some.
const (
	rounds = 11
	warmUp = 500
)

// gcPercent is GOGC of config/manager/deployment.yaml: what is measured is what runs.
const gcPercent = 400

type benchCase struct {
	name     string
	native   bool
	pod      string
	requests int // in a round
	patched  bool
}

// handlers measures requests through the whole HTTP handler, logger and metrics included: CPU time of the process
// (getrusage: all threads, collector included), allocations and bytes of one.
func handlers(ctx context.Context, b *bench) error {
	if os.Getenv("GOGC") == "" {
		defer debug.SetGCPercent(debug.SetGCPercent(gcPercent))
	}
	set, err := newSet()
	if err != nil {
		return err
	}
	optedOut := strings.Replace(injecttest.TypicalPod(5), `"labels":{`, `"labels":{"sidecar.istio.io/inject":"false",`, 1)
	for _, c := range []benchCase{
		{"typical", false, injecttest.TypicalPod(5), 1000, true},
		{"native", true, injecttest.TypicalPod(5), 1000, true},
		{"skip", false, optedOut, 3000, false},
		{"env2000", false, injecttest.TypicalPod(2000), 100, true},
	} {
		err := b.progress.Step(c.name, func(func(string)) error { return b.measure(ctx, set, c) })
		if err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
	}
	return nil
}

func (b *bench) measure(ctx context.Context, set *inject.Set, c benchCase) error {
	h, err := newHandler(set, c.native, io.Discard)
	if err != nil {
		return err
	}
	send := sender(h, injecttest.Review(c.pod))
	if err := check(send(), c.patched); err != nil {
		return err
	}
	for range warmUp {
		send()
	}
	var cpu []float64
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	for range rounds {
		if err := ctx.Err(); err != nil {
			return err
		}
		start := cpuTime()
		for range c.requests {
			send()
		}
		cpu = append(cpu, microseconds(cpuTime()-start)/float64(c.requests))
	}
	runtime.ReadMemStats(&after)
	n := uint64(rounds * c.requests)
	b.figure(c.name, "cpu_us", "%.1f", median(cpu))
	b.figure(c.name, "allocs", "%d", (after.Mallocs-before.Mallocs)/n)
	b.figure(c.name, "bytes", "%d", (after.TotalAlloc-before.TotalAlloc)/n)
	return nil
}

// newHandler is the operator's handler, without its cache of namespaces and its Events.
func newHandler(set *inject.Set, native bool, logs io.Writer) (http.Handler, error) {
	logger, err := log.New(logs, log.Options{Level: "info"})
	if err != nil {
		return nil, err
	}
	return webhook.New(webhook.Options{
		Set: func() *inject.Set { return set }, Native: func(string) bool { return native },
		Log: logger, Metrics: webhook.NewMetrics(prometheus.NewRegistry()),
	}), nil
}

const path = "/inject/injector/default/entry/namespace?timeout=5s"

// sender posts the same review over and over without the cost of making a request; it returns the answer's body.
func sender(h http.Handler, body []byte) func() []byte {
	reader := bytes.NewReader(body)
	request := httptest.NewRequest(http.MethodPost, path, reader)
	request.Header.Set("Content-Type", "application/json")
	w := &response{header: http.Header{}}
	return func() []byte {
		reader.Reset(body)
		request.Body = io.NopCloser(reader)
		w.body = w.body[:0]
		h.ServeHTTP(w, request)
		return w.body
	}
}

type response struct {
	header http.Header
	body   []byte
}

func (r *response) Header() http.Header { return r.header }
func (r *response) WriteHeader(int)     {}
func (r *response) Write(b []byte) (int, error) {
	r.body = append(r.body, b...)
	return len(b), nil
}

// check makes sure that what is measured is what the case says.
func check(body []byte, patched bool) error {
	var review struct {
		Response struct {
			Allowed bool
			Patch   []byte
		}
	}
	if err := json.Unmarshal(body, &review); err != nil {
		return fmt.Errorf("reading the answer: %w", err)
	}
	if got := review.Response; !got.Allowed || patched != bytes.Contains(got.Patch, []byte(`"istio-proxy"`)) {
		return fmt.Errorf("the answer is not what is to be measured: %s", body)
	}
	return nil
}

func cpuTime() time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		return 0
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

func microseconds(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1e3 }
