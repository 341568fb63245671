package filter

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
	"github.com/pillion-mesh/pillion/internal/proxy/stream"
	"github.com/pillion-mesh/pillion/internal/proxy/telemetry"
)

// Deps is the outside world of filters. Fields may be nil: WithDefaults says what stands for them.
type Deps struct {
	Now    func() time.Time
	Random func() uint64
	// Sleep waits for d, or until ctx ends: then it returns its error.
	Sleep func(ctx context.Context, d time.Duration) error
	// Runtime gives a runtime key's value in parts of a million; not ok: it isn't set.
	Runtime func(key string) (perMillion uint32, ok bool)
	// Call sends an HTTP request to a cluster and reads the whole answer. ctx has the deadline.
	Call func(ctx context.Context, c *Call) (*Answer, error)
	// Body reads up to most bytes of x's request body and keeps them for the upstream; whole tells that this is all of
	// it. ctx is the one given to Request.
	Body func(ctx context.Context, x *stream.Exchange, most int) (body []byte, whole bool, err error)
	// Resolve waits until the host of a request to a cluster can be picked: package upstream's Manager.Resolve.
	Resolve func(ctx context.Context, cluster, authority string) error
	// Go runs a function that ends soon in a goroutine whose owner waits for it at the end.
	Go func(func())
	// Counter returns a function that counts one more of a statistic below `http.<prefix>.`. It is asked when a filter
	// is made, not for each request.
	Counter func(name string) func()
	// Gauge returns a function that changes a number there is now, of the same names.
	Gauge func(name string) func(delta int64)
	// Cluster returns the counters of a cluster; nil: there is no such cluster.
	Cluster func(name string) *telemetry.Cluster
	// Members are how many hosts a cluster has, and how many of them are healthy or degraded; not there: it doesn't exist.
	Members func(cluster string) (total, available int64, there bool)
	// Unhealthy reports whether this proxy fails its health checks: it was told to, or it is going away.
	Unhealthy func() bool
	// Self is this proxy's own workload, for peer metadata.
	Self Self
}

// Self is what this proxy tells its peers of itself, and its node's service cluster.
type Self struct {
	stream.Peer
	NodeID  string // sidecar~IP~NAME.NAMESPACE~DOMAIN
	Name    string // of the pod
	Owner   string // kubernetes://apis/apps/v1/namespaces/NS/deployments/NAME
	Service string // node.cluster
}

// Call is an HTTP request to a cluster.
type Call struct {
	Cluster               string
	Method, Host, Path    string
	Fields                []stream.Field
	Body                  []byte
	HTTP2                 bool // unless the cluster speaks HTTP/1.1 only
	MostAnswer            int  // bytes of the answer's body, more is an error; 0: 1 MiB
	Timeout               time.Duration
	OriginalPeer, Purpose string // for logs: who asks (jwt, ext_authz)
}

// Answer is what came back.
type Answer struct {
	Status           int
	Fields, Trailers stream.Fields
	Body             []byte
}

// ErrNotConnected is what Call and Body return unless they are set.
var ErrNotConnected = errors.New("this proxy has no way out for filters")

// WithDefaults sets what is nil: the system's clock and chance, plain goroutines, no counters, and a world outside that
// never answers.
func (d Deps) WithDefaults() Deps {
	if d.Now == nil {
		d.Now = time.Now
	}
	if d.Random == nil {
		d.Random = rand.Uint64
	}
	if d.Sleep == nil {
		d.Sleep = sleep
	}
	if d.Go == nil {
		d.Go = func(f func()) { go f() }
	}
	if d.Counter == nil {
		d.Counter = func(string) func() { return func() {} }
	}
	if d.Gauge == nil {
		d.Gauge = func(string) func(int64) { return func(int64) {} }
	}
	if d.Cluster == nil {
		d.Cluster = func(string) *telemetry.Cluster { return nil }
	}
	if d.Members == nil {
		d.Members = func(string) (total, available int64, there bool) { return 0, 0, false }
	}
	if d.Unhealthy == nil {
		d.Unhealthy = func() bool { return false }
	}
	return d.disconnected()
}

func (d Deps) disconnected() Deps {
	if d.Call == nil {
		d.Call = func(context.Context, *Call) (*Answer, error) { return nil, ErrNotConnected }
	}
	if d.Body == nil {
		d.Body = func(context.Context, *stream.Exchange, int) ([]byte, bool, error) { return nil, false, ErrNotConnected }
	}
	if d.Resolve == nil {
		d.Resolve = func(context.Context, string, string) error { return ErrNotConnected }
	}
	return d
}

// Takes reports whether chance falls into a fraction of requests; nil is none of them.
func (d *Deps) Takes(f *config.Fraction) bool {
	if f == nil {
		return false
	}
	part := f.PerMillion
	if d.Runtime != nil && f.Key != "" {
		if value, ok := d.Runtime(f.Key); ok {
			part = value
		}
	}
	return d.Chance(part)
}

// Chance reports true perMillion times of a million.
func (d *Deps) Chance(perMillion uint32) bool {
	return perMillion >= 1_000_000 || perMillion > 0 && d.Random()%1_000_000 < uint64(perMillion)
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
