// Package peermetadata is istio.metadata_exchange over HTTP headers: who the peer of a request is, and telling it who
// we are. x-envoy-peer-metadata (a base64 Struct) and x-envoy-peer-metadata-id come in; x.Peer and x.UpPeer go out.
// peer.go and struct.go are used for the exchange over TCP too.
package peermetadata

import (
	"context"
	"encoding/base64"
	"strings"
	"sync"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
	"github.com/pillion-mesh/pillion/internal/proxy/httpfilter/filter"
	"github.com/pillion-mesh/pillion/internal/proxy/stream"
)

// The headers.
const (
	Header   = "x-envoy-peer-metadata"
	HeaderID = "x-envoy-peer-metadata-id"
)

type metadata struct {
	config  *config.PeerMetadata
	self    string // the header we send
	id      string
	headers cache // peers by their header
	hosts   cache // by endpoint metadata
}

// New returns the filter.
func New(c *config.PeerMetadata, d filter.Deps) (filter.Filter, error) {
	f := &metadata{config: c, id: d.Self.NodeID}
	if d.Self.NodeID != "" {
		f.self = base64.StdEncoding.EncodeToString(EncodeStruct(Metadata(&d.Self)))
	}
	return f, nil
}

// asked marks in filter state that the client sent its metadata, so that it understands ours.
const asked = "pillion.peer_metadata.asked"

// Request reads who the client is, takes that out of the request, and puts in who we are if the upstream is to know.
func (f *metadata) Request(_ context.Context, x *stream.Exchange, tr *stream.Trace) *filter.Reply {
	if f.config.DownstreamDiscovery&config.PeerHeaders != 0 {
		f.readRequest(x)
	}
	if x.Peer == nil {
		x.Peer = x.Conn.Peer
	}
	if f.config.UpstreamPropagation && f.self != "" && !f.external(x) {
		x.Request.Fields.Set(Header, f.self)
		x.Request.Fields.Set(HeaderID, f.id)
	}
	if tr.On() && x.Peer != nil {
		tr.Note("filter", "peer_metadata: the client is %s in %s", x.Peer.Workload, x.Peer.Namespace)
	}
	return nil
}

func (f *metadata) readRequest(x *stream.Exchange) {
	fields := &x.Request.Fields
	value, there := fields.Get(Header)
	if _, id := fields.Get(HeaderID); !there && !id {
		return
	}
	if peer := f.headers.get(value, decodeHeader); peer != nil {
		x.Peer = peer
	}
	if f.config.DownstreamPropagation {
		if x.FilterState == nil {
			x.FilterState = map[string]string{}
		}
		x.FilterState[asked] = "true"
	}
	fields.Remove(Header)
	fields.Remove(HeaderID)
}

// Response reads who the upstream is, and tells the client who we are if it told us.
func (f *metadata) Response(x *stream.Exchange) {
	fields := &x.Response.Fields
	if f.config.UpstreamDiscovery&config.PeerHeaders != 0 && !x.Local {
		if value, there := fields.Get(Header); there {
			x.UpPeer = f.headers.get(value, decodeHeader)
		}
		fields.Remove(Header)
		fields.Remove(HeaderID)
	}
	if x.UpPeer == nil && f.config.UpstreamDiscovery&config.PeerWorkload != 0 && x.Upstream.Endpoint != nil {
		x.UpPeer = f.hosts.get(x.Upstream.Endpoint.Workload, FromWorkload)
	}
	if f.config.DownstreamPropagation && f.self != "" && x.FilterState[asked] != "" {
		fields.Set(Header, f.self)
		fields.Set(HeaderID, f.id)
	}
}

// external reports whether the upstream isn't of the mesh and must not learn who we are.
func (f *metadata) external(x *stream.Exchange) bool {
	if !f.config.SkipExternalClusters {
		return false
	}
	switch x.ClusterName {
	case config.PassthroughCluster, config.InboundPassthroughCluster, config.BlackHoleCluster:
		return true
	}
	return x.Cluster != nil && x.Cluster.External
}

// decodeHeader returns the peer a header tells of, nil if it is malformed.
func decodeHeader(value string) *stream.Peer {
	raw, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(value, "="))
	if err != nil {
		return nil
	}
	m, err := DecodeStruct(raw)
	if err != nil {
		return nil
	}
	return Peer(m)
}

// mostPeers is how many peers a cache keeps, as many as Istio's.
const mostPeers = 500

// cache keeps what texts were decoded to: the same few peers come again and again. When it is full it begins anew.
type cache struct {
	mu    sync.RWMutex
	peers map[string]*stream.Peer
}

func (c *cache) get(text string, decode func(string) *stream.Peer) *stream.Peer {
	if text == "" {
		return nil
	}
	c.mu.RLock()
	peer, ok := c.peers[text]
	c.mu.RUnlock()
	if ok {
		return peer
	}
	text = strings.Clone(text) // it is a view of a buffer
	peer = decode(text)
	if peer == nil { // what can't be read isn't worth keeping
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.peers == nil || len(c.peers) >= mostPeers {
		c.peers = map[string]*stream.Peer{}
	}
	c.peers[text] = peer
	return peer
}
