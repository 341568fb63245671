package xdsclient

import (
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/protobuf/proto"
)

// delta is the incremental protocol. An ACK carries a nonce and no change of subscriptions; a change carries no nonce.
type delta struct {
	node *corev3.Node        // nil once it was sent
	said map[string][]string // by type URL: the names subscribed to; empty for all of them
}

func newDelta(node *corev3.Node) *delta { return &delta{node: node, said: map[string][]string{}} }

func (d *delta) subscribe(w want, held func(string) map[string]string) []proto.Message {
	said, again := d.said[w.typeURL]
	if !again && !w.all && len(w.names) == 0 {
		return nil // an empty first request would mean: everything
	}
	added, removed := difference(said, w.names)
	added = merge(added, common(common(w.again, said), w.names)) // subscribing again has it sent again
	if again && len(added)+len(removed) == 0 {
		return nil
	}
	d.said[w.typeURL] = w.names
	request := &discoveryv3.DeltaDiscoveryRequest{TypeUrl: w.typeURL, ResourceNamesSubscribe: added, ResourceNamesUnsubscribe: removed}
	if !again {
		request.InitialResourceVersions = held(w.typeURL)
	}
	request.Node, d.node = d.node, nil
	return []proto.Message{request}
}

func (d *delta) read(stream receiver) (Response, error) {
	var m discoveryv3.DeltaDiscoveryResponse
	if err := stream.RecvMsg(&m); err != nil {
		return Response{}, err
	}
	r := Response{Type: m.GetTypeUrl(), Version: m.GetSystemVersionInfo(), Removed: m.GetRemovedResources(), nonce: m.GetNonce()}
	r.Resources = make([]Resource, 0, len(m.GetResources()))
	for _, each := range m.GetResources() {
		if each.GetResource() != nil { // without: a heartbeat of a resource's time to live
			r.Resources = append(r.Resources, fromDelta(each))
		}
	}
	return r, nil
}

func (d *delta) answer(r Response, reason error) proto.Message {
	return &discoveryv3.DeltaDiscoveryRequest{TypeUrl: r.Type, ResponseNonce: r.nonce, ErrorDetail: detail(reason)}
}

// difference returns what is only in the second and what is only in the first of two sorted slices.
func difference(before, after []string) (added, removed []string) {
	for len(before) > 0 || len(after) > 0 {
		switch {
		case len(before) == 0 || len(after) > 0 && after[0] < before[0]:
			added, after = append(added, after[0]), after[1:]
		case len(after) == 0 || before[0] < after[0]:
			removed, before = append(removed, before[0]), before[1:]
		default:
			before, after = before[1:], after[1:]
		}
	}
	return added, removed
}
