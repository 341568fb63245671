// Package xdsclient keeps one xDS stream to a control plane: it subscribes, hands each response to a Handler, says ACK or
// NACK, and connects again when the stream ends. Names of what is wanted come in (Want); resources go out as bytes. It
// knows gRPC and the messages of discovery, not what a cluster or a route is, so it may carry any type.
//
// Read this file first, then stream.go (one stream's life) and delta.go or sotw.go (what is said on it).
package xdsclient

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	"google.golang.org/protobuf/proto"
)

// Resource is one resource of a response, undecoded.
type Resource struct {
	Name    string // in state of the world read from field 1 of the resource, which is its name in every type
	Version string // of delta; of state of the world the response's
	Type    string // type URL of Value; may differ from the response's
	Value   []byte // the serialised message; belongs to the receiver
}

// Response is what the control plane sent for one type.
type Response struct {
	Type      string
	Version   string // version_info or system_version_info
	Resources []Resource
	Removed   []string // removed_resources; only delta has them
	// Complete is set when resources of this type that aren't in Resources are gone: state of the world, CDS and LDS.
	Complete bool

	nonce string
}

// Handler gets the responses, one at a time, from one goroutine. It may call Client.Want.
type Handler interface {
	// Apply takes a response. Nil is an ACK; the text of an error goes to the control plane with the NACK.
	Apply(Response) error
	// Held returns the versions of the resources of a type by name, so that a new delta stream brings differences only.
	Held(typeURL string) map[string]string
}

// Client keeps one stream. Make it with New, run it with Run; Want may be called any time, from anywhere.
type Client struct {
	opts    Options
	node    *corev3.Node
	handler Handler
	stats   Stats

	changed chan struct{} // holds one token after wants was changed

	mu    sync.Mutex
	wants []want // in the order of their first Want: the order of requests on a new stream
}

// want is what is wanted of one type.
type want struct {
	typeURL string
	all     bool
	names   []string // sorted, unique; nil if all
	// again are names that came back since the server was last told: it may still count them as subscribed to and
	// delivered, while the handler has forgotten them in between.
	again []string
}

// New returns a client that isn't connected yet. It fails if the options are no use.
func New(o Options, h Handler) (*Client, error) {
	if o.Address == "" {
		return nil, errors.New("xDS client: no address of a control plane")
	}
	node := &corev3.Node{}
	if err := proto.Unmarshal(o.Node, node); err != nil {
		return nil, fmt.Errorf("xDS client: reading the node: %w", err)
	}
	return &Client{opts: o.withDefaults(), node: node, handler: h, changed: make(chan struct{}, 1)}, nil
}

// Want sets which resources of a type are wanted by name, instead of those before. The slice is not kept.
func (c *Client) Want(typeURL string, names []string) {
	sorted := slices.Clone(names)
	slices.Sort(sorted)
	c.set(want{typeURL: typeURL, names: slices.Compact(sorted)})
}

// WantAll subscribes to all resources of a type. It can't be undone.
func (c *Client) WantAll(typeURL string) { c.set(want{typeURL: typeURL, all: true}) }

func (c *Client) set(w want) {
	c.mu.Lock()
	defer c.mu.Unlock()
	i := slices.IndexFunc(c.wants, func(each want) bool { return each.typeURL == w.typeURL })
	switch {
	case i < 0:
		c.wants = append(c.wants, w)
	case c.wants[i].all, !w.all && slices.Equal(c.wants[i].names, w.names):
		return
	default:
		added, _ := difference(c.wants[i].names, w.names)
		w.again = merge(c.wants[i].again, added)
		c.wants[i] = w
	}
	select {
	case c.changed <- struct{}{}:
	default: // the token that is there already covers this change too
	}
}

func (c *Client) wanted() []want {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.wants)
}

// tell returns what is wanted, to be told to the server now.
func (c *Client) tell() []want {
	c.mu.Lock()
	defer c.mu.Unlock()
	all := slices.Clone(c.wants)
	for i := range c.wants {
		c.wants[i].again = nil
	}
	return all
}

// merge returns the sorted union of two sorted slices.
func merge(a, b []string) []string {
	if len(a) == 0 {
		return b
	}
	both := slices.Concat(a, b)
	slices.Sort(both)
	return slices.Compact(both)
}

// common returns what is in both of two sorted slices.
func common(a, b []string) []string {
	only, _ := difference(b, a)
	_, both := difference(a, only)
	return both
}

// Stats are the client's counters.
func (c *Client) Stats() *Stats { return &c.stats }

// Run keeps a stream until ctx ends, and returns when all its goroutines have.
func (c *Client) Run(ctx context.Context) {
	versions := map[string]string{} // of state of the world: what each type's last ACK said
	for failures := 0; ctx.Err() == nil; failures++ {
		answered, err := c.connect(ctx, versions)
		if ctx.Err() != nil {
			return
		}
		c.stats.failed(c.wanted())
		if answered {
			failures = 0
		}
		pause := c.opts.Backoff.pause(failures, c.opts.Random())
		c.opts.Log.Info("The xDS stream ended; connecting again", "address", c.opts.Address, "reason", err.Error(), "pause", pause.String())
		wait(ctx, pause)
	}
}
