// Package source is where the proxy's configuration comes from: a bootstrap, the streams of a control plane, files. It
// keeps each resource as the bytes it came in, has them decoded by package xds, holds back what isn't whole yet
// (warming), and publishes a *config.Runtime behind an atomic pointer. Bad resources leave the last good ones serving.
//
// Read this file first, then resource.go (what is kept), apply.go (a response), warm.go (when it serves), origin.go (the
// streams) and files.go. Package dump writes what is kept as /config_dump.
package source

import (
	"context"
	"crypto/tls"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
	"github.com/pillion-mesh/pillion/internal/proxy/config/xds"
	"github.com/pillion-mesh/pillion/internal/xdsclient"
)

// Options are what a Source needs besides its bootstrap. Functions may be nil unless said.
type Options struct {
	Bootstrap *xds.BootstrapConfig
	// TLS makes the client configuration of a stream whose cluster has a transport socket; nil: such streams fail.
	TLS func(*config.ClientTLS) *tls.Config
	// Stream may change what a stream is opened with: an address, a back-off, headers.
	Stream func(cluster string, o xdsclient.Options) xdsclient.Options
	Decode Decoders // a nil function is package xds's
	// Before gets each Runtime before anybody else sees it, so that its clusters are there when its listeners are; nil:
	// nobody does. It may not call the Source.
	Before func(*config.Runtime)
	// After is called once a Runtime is what everybody sees; nil: nobody is. It may not call the Source.
	After func()
	// Warm begins to look up the names of a cluster's hosts, and closes the channel when that is over; nil, also for a
	// function: there is nothing to wait for. It may not call the Source.
	Warm     func(*config.Cluster) <-chan struct{}
	WarmTime time.Duration // how long a cluster is held back for that at most; 0: 5s
	File     xds.Files
	Now      func() time.Time
	Log      logr.Logger
}

// Decoders turn bytes into the types of package config.
type Decoders struct {
	Listener  func([]byte, xds.Cells) (*config.Listener, xds.Needs, error)
	Cluster   func([]byte, xds.Cells) (*config.Cluster, xds.Needs, error)
	Extension func([]byte, xds.Cells) (*config.HTTPFilter, xds.Needs, error)
	Routes    func([]byte) (*config.RouteTable, xds.Needs, error)
	Endpoints func([]byte) (*config.Endpoints, xds.Needs, error)
	Secret    func([]byte, xds.Files) (*xds.SecretValue, xds.Needs, error)
}

func (d Decoders) withDefaults() Decoders {
	if d.Listener == nil {
		d.Listener = xds.Listener
	}
	if d.Cluster == nil {
		d.Cluster = xds.Cluster
	}
	if d.Extension == nil {
		d.Extension = xds.Extension
	}
	if d.Routes == nil {
		d.Routes = xds.Routes
	}
	if d.Endpoints == nil {
		d.Endpoints = xds.Endpoints
	}
	if d.Secret == nil {
		d.Secret = xds.Secret
	}
	return d
}

func (o Options) withDefaults() Options {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.File == nil {
		o.File = os.ReadFile
	}
	if o.Log.GetSink() == nil {
		o.Log = logr.Discard()
	}
	if o.WarmTime == 0 {
		o.WarmTime = defaultWarmTime
	}
	if o.Warm == nil {
		o.Warm = func(*config.Cluster) <-chan struct{} { return nil }
	}
	if o.After == nil {
		o.After = func() {}
	}
	if o.Before == nil {
		o.Before = func(*config.Runtime) {}
	}
	o.Decode = o.Decode.withDefaults()
	return o
}

// Source holds the configuration. Its methods may be called any time, from anywhere.
type Source struct {
	opts    Options
	runtime atomic.Pointer[config.Runtime]
	ready   atomic.Bool
	warmed  chan struct{} // closed when ready becomes true
	notes   notes
	alarm   chan struct{} // a deadline came nearer

	mu        sync.Mutex
	tables    [kinds]map[string]*entry
	cells     cells
	wanted    [kinds]map[string]want    // what active and warming objects name
	addresses map[netip.AddrPort]*entry // who took a listener's address last
	waiters   map[resource][]*entry     // who waits for a resource to come
	check     []*entry                  // who may have become ready
	warming   map[*entry]struct{}
	doomed    map[*entry]struct{}  // removed clusters that are still named
	reads     map[*entry]filesRead // of resources that name files
	origins   map[place]*origin
	roots     [kinds]*xds.ConfigSource // where all clusters and all listeners come from; nil: nowhere
	came      [kinds]bool              // the first answer about all clusters, all listeners, is there
	began     time.Time
	unpacked  int       // bytes of resources that came since pack looked
	next      time.Time // the nearest deadline of what warms; zero: none
	dirty     bool      // active listeners or clusters changed since the Runtime was made
	stale     bool      // what objects name may have changed
	moved     bool      // what routes name may have changed
	group     *sync.WaitGroup
	running   context.Context // of Run; nil before
}

// Static returns a source that needs no bootstrap and no control plane, and is ready. Of the options Before, Now and Log
// count.
func Static(s config.Settings, o Options) *Source {
	source := empty(o.withDefaults())
	source.show(config.Static(s))
	source.becomeReady()
	return source
}

func (s *Source) show(r *config.Runtime) {
	s.opts.Before(r)
	s.runtime.Store(r)
	s.opts.After()
}

// New returns a source with the bootstrap's static resources in it. It fails if one of them is refused.
func New(o Options) (*Source, error) {
	s := empty(o.withDefaults())
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.applyBootstrap(); err != nil {
		return nil, err
	}
	s.settle()
	s.publish()
	return s, nil
}

func empty(o Options) *Source {
	s := &Source{
		opts: o, alarm: make(chan struct{}, 1), warmed: make(chan struct{}), cells: newCells(), waiters: map[resource][]*entry{}, addresses: map[netip.AddrPort]*entry{}, warming: map[*entry]struct{}{},
		doomed: map[*entry]struct{}{}, reads: map[*entry]filesRead{}, origins: map[place]*origin{}, began: o.Now(), group: &sync.WaitGroup{},
	}
	for k := range s.tables {
		s.tables[k], s.wanted[k] = map[string]*entry{}, map[string]want{}
	}
	s.runtime.Store(config.NewRuntime(nil, nil))
	return s
}

// Runtime is where the newest configuration is. It never holds nil.
func (s *Source) Runtime() *atomic.Pointer[config.Runtime] { return &s.runtime }

// Ready reports whether the first whole configuration is there: all listeners and clusters came, and what they need. It
// never becomes false again.
func (s *Source) Ready() bool { return s.ready.Load() }

// Warm is closed when Ready becomes true.
func (s *Source) Warm() <-chan struct{} { return s.warmed }

func (s *Source) becomeReady() {
	if !s.ready.Swap(true) {
		close(s.warmed)
	}
}

// Run keeps streams and file watches until ctx ends, and returns when all of them have ended.
func (s *Source) Run(ctx context.Context) {
	s.mu.Lock()
	s.running = ctx
	for _, o := range s.origins {
		s.launch(o)
	}
	s.mu.Unlock()
	s.keepTime(ctx)
	s.mu.Lock()   // whoever still applies something launches nothing new after this
	s.mu.Unlock() //nolint:staticcheck // an empty section: it waits for the one before
	s.group.Wait()
}
