package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"strconv"
	"sync"
	"time"

	"github.com/pillion-mesh/pillion/internal/inject/injecttest"
)

// The load: as many connections as an API server keeps open to a webhook, each with one request after the other.
const (
	connections = 25
	loadWarmUp  = time.Second
	loadRounds  = 5
	loadRound   = 2 * time.Second
)

// https measures injections a second through TLS, with both processes on the same cores. The load generator sends
// prepared bytes and compares each answer with the first of its connection, which was read and checked. Its own CPU time
// is told too: it is taken from the same cores.
func https(ctx context.Context, b *bench) error {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1)) // half a core is all it needs; a second thread would be woken in vain
	s, err := startServer()
	if err != nil {
		return err
	}
	var l *load
	var rates, server, client []float64
	err = b.progress.Step("https", func(func(string)) (err error) {
		if l, err = newLoad(ctx, s); err != nil {
			return err
		}
		defer l.close()
		l.run(ctx, loadWarmUp)
		for range loadRounds {
			r, err := l.measured(ctx, s)
			if err := errors.Join(ctx.Err(), err); err != nil {
				return err
			}
			rates, server, client = append(rates, r.rate), append(server, r.server), append(client, r.client)
		}
		return nil
	})
	if err := errors.Join(err, s.stop()); err != nil {
		return err
	}
	b.figure("https", "per_second", "%.0f", median(rates))
	b.figure("https", "server_cpu_us", "%.1f", median(server))
	b.figure("https", "client_cpu_us", "%.1f", median(client))
	b.figure("https", "failed", "%d", l.failed)
	return nil
}

// load is all connections of one load generator.
type load struct {
	conns  []*conn
	failed int
}

func newLoad(ctx context.Context, s *server) (*load, error) {
	request := requestBytes(s.address)
	l := &load{}
	for range connections {
		c, err := dial(ctx, s, request)
		if err != nil {
			l.close()
			return nil, fmt.Errorf("connecting to the server: %w", err)
		}
		l.conns = append(l.conns, c)
	}
	return l, nil
}

func (l *load) close() {
	for _, c := range l.conns {
		_ = c.Close()
	}
}

// run loads the server for a while and returns how many right answers came.
func (l *load) run(ctx context.Context, d time.Duration) (answers int) {
	deadline := time.Now().Add(d)
	var wait sync.WaitGroup
	done := make([]int, len(l.conns))
	for i, c := range l.conns {
		wait.Go(func() {
			for c.fault == nil && ctx.Err() == nil && time.Now().Before(deadline) {
				if c.fault = c.roundTrip(); c.fault == nil {
					done[i]++
				}
			}
		})
	}
	wait.Wait()
	for _, n := range done {
		answers += n
	}
	return answers
}

// round is requests a second, and the CPU time of both processes for each, in µs.
type round struct{ rate, server, client float64 }

func (l *load) measured(ctx context.Context, s *server) (r round, err error) {
	before, err := s.cpu()
	if err != nil {
		return r, err
	}
	start, own := time.Now(), cpuTime()
	n := l.run(ctx, loadRound)
	took, own := time.Since(start), cpuTime()-own
	after, err := s.cpu()
	if err != nil || n == 0 {
		return r, errors.Join(err, l.fault())
	}
	l.failed = 0
	for _, c := range l.conns {
		if c.fault != nil {
			l.failed++
		}
	}
	each := func(d time.Duration) float64 { return microseconds(d) / float64(n) }
	return round{rate: float64(n) / took.Seconds(), server: each(after - before), client: each(own)}, nil
}

// fault is why a connection has stopped.
func (l *load) fault() error {
	for _, c := range l.conns {
		if c.fault != nil {
			return c.fault
		}
	}
	return errors.New("no answers")
}

// requestBytes is what an API server sends.
func requestBytes(host string) []byte {
	body := injecttest.Review(injecttest.TypicalPod(5))
	return append(fmt.Appendf(nil, "POST %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: kube-apiserver-admission\r\nContent-Length: %d\r\n"+
		"Accept: application/json, */*\r\nContent-Type: application/json\r\nAccept-Encoding: gzip\r\n\r\n", path, host, len(body)), body...)
}

// conn is one connection kept open.
type conn struct {
	*tls.Conn
	request []byte
	in      *bufio.Reader
	want    []byte // the first answer's body
	got     []byte
	fault   error
}

func dial(ctx context.Context, s *server, request []byte) (*conn, error) {
	raw, err := (&tls.Dialer{Config: &tls.Config{RootCAs: s.roots, MinVersion: tls.VersionTLS12}}).DialContext(ctx, "tcp", s.address)
	if err != nil {
		return nil, err
	}
	c := &conn{Conn: raw.(*tls.Conn), request: request, in: bufio.NewReaderSize(raw, 64<<10)} //nolint:errcheck // a tls.Dialer's is one
	if err := c.first(); err != nil {
		_ = c.Close()
		return nil, err
	}
	return c, nil
}

// first reads the first answer carefully.
func (c *conn) first() error {
	if _, err := c.Write(c.request); err != nil {
		return err
	}
	answer, err := http.ReadResponse(c.in, nil)
	if err != nil {
		return err
	}
	defer func() { _ = answer.Body.Close() }()
	if c.want, err = io.ReadAll(answer.Body); err != nil {
		return err
	}
	if answer.StatusCode != http.StatusOK || answer.ContentLength != int64(len(c.want)) {
		return fmt.Errorf("%s with %d bytes, of which %d are announced: %s", answer.Status, len(c.want), answer.ContentLength, c.want)
	}
	c.got = make([]byte, len(c.want))
	return check(c.want, true)
}

var lengthHeader = []byte("Content-Length: ")

// roundTrip is one request; the answer must be the first one again.
func (c *conn) roundTrip() error {
	if _, err := c.Write(c.request); err != nil {
		return err
	}
	length := -1
	for first := true; ; first = false {
		line, err := c.in.ReadSlice('\n')
		switch {
		case err != nil:
			return err
		case first && !bytes.HasPrefix(line, []byte("HTTP/1.1 200 ")):
			return fmt.Errorf("the answer is %q", line)
		}
		if digits, found := bytes.CutPrefix(bytes.TrimSpace(line), lengthHeader); found {
			if length, err = strconv.Atoi(string(digits)); err != nil {
				return err
			}
		}
		if len(line) <= 2 {
			break
		}
	}
	if length != len(c.got) {
		return fmt.Errorf("the answer has %d bytes, the first had %d", length, len(c.got))
	}
	if _, err := io.ReadFull(c.in, c.got); err != nil {
		return err
	}
	if !bytes.Equal(c.got, c.want) {
		return errors.New("the answer isn't the first one again")
	}
	return nil
}
