package xdsclient

import (
	"fmt"
	"slices"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/protobuf/proto"
)

// sotw is the protocol in which each request names all that is wanted of a type, with the version that is in use and the
// nonce of the last response.
type sotw struct {
	node     *corev3.Node      // nil once it was sent
	versions map[string]string // by type URL, what was ACKed last; outlives the stream
	said     map[string]*saidSotW
}

type saidSotW struct {
	names []string
	nonce string
}

func newSotW(node *corev3.Node, versions map[string]string) *sotw {
	return &sotw{node: node, versions: versions, said: map[string]*saidSotW{}}
}

func (s *sotw) subscribe(w want, _ func(string) map[string]string) []proto.Message {
	said := s.said[w.typeURL]
	if said == nil {
		if !w.all && len(w.names) == 0 { // an empty first request may mean: everything
			return nil
		}
		said = &saidSotW{}
		s.said[w.typeURL] = said
		return []proto.Message{s.name(w.typeURL, w.names)}
	}
	var requests []proto.Message
	if again := common(common(w.again, said.names), w.names); len(again) > 0 { // the server sees them go and come
		rest, _ := difference(again, said.names)
		requests = append(requests, s.name(w.typeURL, rest))
	}
	if !slices.Equal(said.names, w.names) {
		requests = append(requests, s.name(w.typeURL, w.names))
	}
	return requests
}

func (s *sotw) name(typeURL string, names []string) *discoveryv3.DiscoveryRequest {
	s.said[typeURL].names = names
	return s.request(typeURL, s.said[typeURL])
}

func (s *sotw) request(typeURL string, said *saidSotW) *discoveryv3.DiscoveryRequest {
	r := &discoveryv3.DiscoveryRequest{
		TypeUrl: typeURL, VersionInfo: s.versions[typeURL], ResourceNames: said.names, ResponseNonce: said.nonce,
	}
	r.Node, s.node = s.node, nil
	return r
}

func (s *sotw) read(stream receiver) (Response, error) {
	var m discoveryv3.DiscoveryResponse
	if err := stream.RecvMsg(&m); err != nil {
		return Response{}, err
	}
	r := Response{Type: m.GetTypeUrl(), Version: m.GetVersionInfo(), nonce: m.GetNonce(), Complete: absenceRemoves(m.GetTypeUrl())}
	r.Resources = make([]Resource, 0, len(m.GetResources()))
	for _, each := range m.GetResources() {
		resource, err := unwrap(each.GetTypeUrl(), each.GetValue(), r.Version)
		if err != nil {
			return Response{}, fmt.Errorf("reading a wrapped resource of %s: %w", r.Type, err)
		}
		r.Resources = append(r.Resources, resource)
	}
	return r, nil
}

func (s *sotw) answer(r Response, reason error) proto.Message {
	said := s.said[r.Type]
	if said == nil {
		said = &saidSotW{}
	}
	said.nonce = r.nonce
	if reason == nil {
		s.versions[r.Type] = r.Version
	}
	request := s.request(r.Type, said)
	request.ErrorDetail = detail(reason)
	return request
}
