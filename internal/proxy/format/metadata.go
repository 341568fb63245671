package format

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/pillion-mesh/pillion/internal/proxy/stream"
)

// metadata is filter metadata: by filter name, then anything JSON has.
type metadata func(x *stream.Exchange, filter string) map[string]any

func dynamicMetadata(x *stream.Exchange, filter string) map[string]any {
	if found := x.Metadata[filter]; found != nil {
		return found
	}
	return x.Conn.Metadata[filter]
}

func clusterMetadata(x *stream.Exchange, filter string) map[string]any {
	if x.Cluster == nil {
		return nil
	}
	return x.Cluster.Metadata[filter]
}

func hostMetadata(x *stream.Exchange, filter string) map[string]any {
	if x.Upstream.Endpoint == nil {
		return nil
	}
	return x.Upstream.Endpoint.Metadata[filter]
}

func routeMetadata(x *stream.Exchange, filter string) map[string]any {
	if x.Route == nil {
		return nil
	}
	return x.Route.Metadata[filter]
}

// metadataOf is an operator with the argument FILTER:KEY:KEY….
func metadataOf(of metadata) func(string) (op, error) {
	return func(arg string) (op, error) {
		filter, rest, deeper := strings.Cut(arg, ":")
		if filter == "" {
			return op{}, errors.New("want a filter's name, then keys with : between them")
		}
		var keys []string
		if deeper {
			keys = strings.Split(rest, ":")
		}
		return value(func(x *stream.Exchange) any { return dig(of(x, filter), keys) }), nil
	}
}

var metadataKinds = map[string]metadata{"DYNAMIC": dynamicMetadata, "CLUSTER": clusterMetadata, "UPSTREAM_HOST": hostMetadata, "ROUTE": routeMetadata}

// anyMetadata is METADATA(KIND:FILTER:KEY…).
func anyMetadata(arg string) (op, error) {
	kind, rest, _ := strings.Cut(arg, ":")
	of := metadataKinds[kind]
	if of == nil {
		return op{}, fmt.Errorf("the metadata %q is not one of DYNAMIC, CLUSTER, ROUTE, UPSTREAM_HOST", kind)
	}
	return metadataOf(of)(rest)
}

// dig follows keys into nested maps; nil if they lead nowhere.
func dig(in map[string]any, keys []string) any {
	if in == nil {
		return nil
	}
	var at any = in
	for _, key := range keys {
		inner, ok := at.(map[string]any)
		if !ok {
			return nil
		}
		at = inner[key]
	}
	return at
}

// value is an operation of something JSON has. Alone in a JSON field it keeps its type; in a text a string stands as it
// is and all else as JSON.
func value(of func(*stream.Exchange) any) op {
	return op{
		do: func(line []byte, x *stream.Exchange) ([]byte, bool) {
			v := of(x)
			if plain, ok := v.(string); ok {
				return append(line, plain...), true
			}
			return appendJSON(line, v)
		},
		json: func(line []byte, x *stream.Exchange) ([]byte, bool) {
			v := of(x)
			if plain, ok := v.(string); ok {
				return appendString(line, plain), true
			}
			return appendJSON(line, v)
		},
	}
}

func appendJSON(line []byte, v any) ([]byte, bool) {
	if number, ok := v.(float64); ok {
		return strconv.AppendFloat(line, number, 'f', -1, 64), true
	}
	if v == nil {
		return line, false
	}
	text, err := json.Marshal(v)
	if err != nil {
		return line, false
	}
	return append(line, text...), true
}

// filterState is FILTER_STATE(KEY:PLAIN|TYPED|FIELD:NAME). What is known of the peers is filter state too, by the keys
// Istio's filters give it.
func filterState(arg string) (op, error) {
	key, rest, _ := strings.Cut(arg, ":")
	form, name, _ := strings.Cut(rest, ":")
	switch {
	case key == "":
		return op{}, errors.New("want a key")
	case form != "" && form != "PLAIN" && form != "TYPED" && form != "FIELD":
		return op{}, fmt.Errorf("the form %q is not PLAIN, TYPED or FIELD", form)
	case form == "FIELD" && name == "":
		return op{}, errors.New("FIELD wants a field's name")
	}
	if side := peerStates[key]; side != nil {
		return peerState(side, name), nil
	}
	if key == "envoy.filters.http.grpc_stats" {
		return messageState(form, name), nil
	}
	return text(func(x *stream.Exchange) string { return x.FilterState[key] }), nil
}

// FilterState is the object of filter state with that key: a string, a map[string]any of the peers' ones, or nil.
func FilterState(x *stream.Exchange, key string) any {
	if side := peerStates[key]; side != nil {
		if all := peerObject(side(x)); all != nil {
			return all
		}
		return nil
	}
	if text, there := x.FilterState[key]; there {
		return text
	}
	return nil
}

// messageState is how many messages a gRPC call had, as Envoy's grpc_stats leaves it.
func messageState(form, field string) op {
	return text(func(x *stream.Exchange) string {
		requests, responses := strconv.FormatUint(x.Messages[0], 10), strconv.FormatUint(x.Messages[1], 10)
		switch {
		case !x.EmitMessages || x.Messages == [2]uint64{}:
			return ""
		case form == "PLAIN":
			return requests + "," + responses
		case field == "request_message_count":
			return requests
		case field == "response_message_count":
			return responses
		case form == "FIELD":
			return ""
		}
		return `{"requestMessageCount":"` + requests + `","responseMessageCount":"` + responses + `"}`
	})
}

var peerStates = map[string]func(*stream.Exchange) *stream.Peer{
	"downstream_peer": downstreamPeer, "wasm.downstream_peer": downstreamPeer,
	"upstream_peer": upstreamPeer, "wasm.upstream_peer": upstreamPeer,
}

func downstreamPeer(x *stream.Exchange) *stream.Peer {
	if x.Peer != nil {
		return x.Peer
	}
	return x.Conn.Peer
}

func upstreamPeer(x *stream.Exchange) *stream.Peer { return x.UpPeer }

// peerFields are the fields of a peer, as Istio names them.
var peerFields = []struct {
	name string
	of   func(*stream.Peer) string
}{
	{"app", func(p *stream.Peer) string { return p.App }},
	{"cluster", func(p *stream.Peer) string { return p.Cluster }},
	{"identity", func(p *stream.Peer) string { return p.Principal }},
	{"namespace", func(p *stream.Peer) string { return p.Namespace }},
	{"revision", func(p *stream.Peer) string { return p.CanonicalRevision }},
	{"service", func(p *stream.Peer) string { return p.CanonicalService }},
	{"version", func(p *stream.Peer) string { return p.Version }},
	{"workload", func(p *stream.Peer) string { return p.Workload }},
}

// peerState is one field of a peer, or without a name all it has as an object.
func peerState(side func(*stream.Exchange) *stream.Peer, name string) op {
	return value(func(x *stream.Exchange) any {
		all := peerObject(side(x))
		switch {
		case all == nil:
			return nil
		case name != "":
			return all[name]
		}
		return all
	})
}

// peerObject is what is known of a peer; nil: nothing.
func peerObject(peer *stream.Peer) map[string]any {
	if peer == nil {
		return nil
	}
	all := map[string]any{}
	for _, f := range peerFields {
		if v := f.of(peer); v != "" {
			all[f.name] = v
		}
	}
	return all
}
