package xdsclient

import (
	"context"
	"crypto/tls"
	"math/rand/v2"
	"net"
	"time"

	"github.com/go-logr/logr"
)

// Limits and times of a stream.
const (
	maxMessage     = 64 << 20 // bytes, either way
	keepAlive      = 300 * time.Second
	keepAliveGrace = 20 * time.Second
	connectTimeout = 10 * time.Second
	sendTimeout    = 20 * time.Second // a peer that doesn't read for so long is given up
)

// Service is the gRPC service a stream is opened on.
type Service uint8

// ADS carries every type. SDS is the secret discovery service, which a node's agent serves for certificates alone.
const (
	ADS Service = iota
	SDS
)

// Options say where the control plane is and how to speak with it.
type Options struct {
	// Address is host:port, or unix:PATH.
	Address string
	// Authority is the :authority of requests; empty: Address, `localhost` for a Unix socket.
	Authority string
	TLS       *tls.Config // nil: plaintext
	Service   Service
	// StateOfTheWorld speaks SotW instead of delta.
	StateOfTheWorld bool
	Node            []byte // a serialised envoy.config.core.v3.Node
	// Headers returns metadata of a new stream as key, value, key, value…, such as a token that changes; nil: none.
	Headers func() ([]string, error)
	Backoff Backoff
	Log     logr.Logger // its zero value says nothing
	// Random returns numbers from 0 to below 1; nil: math/rand.
	Random func() float64
	// Dial connects instead of net.Dialer; it gets Address.
	Dial func(ctx context.Context, address string) (net.Conn, error)
}

func (o Options) withDefaults() Options {
	if o.Backoff == (Backoff{}) {
		o.Backoff = Backoff{Base: 500 * time.Millisecond, Max: 30 * time.Second}
	}
	if o.Random == nil {
		o.Random = rand.Float64
	}
	if o.Log.GetSink() == nil {
		o.Log = logr.Discard()
	}
	return o
}

// Backoff is how long to wait before connecting again: at random up to Base × 2ⁿ, at most Max (full jitter).
type Backoff struct{ Base, Max time.Duration }

func (b Backoff) pause(failures int, random float64) time.Duration {
	limit := b.Max
	if failures < 30 && b.Base<<failures < b.Max {
		limit = b.Base << failures
	}
	return time.Duration(random * float64(limit))
}

func wait(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}
