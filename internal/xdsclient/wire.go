package xdsclient

import (
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	statuspb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
)

// receiver is what a wire reads messages from.
type receiver interface{ RecvMsg(m any) error }

// wire speaks one variant of the protocol on one stream: it remembers what was said and makes the messages. Only read
// may run beside the other two.
type wire interface {
	// subscribe returns the requests that tell the server what is wanted of a type, none if it knows already.
	subscribe(w want, held func(typeURL string) map[string]string) []proto.Message
	// read waits for a response.
	read(receiver) (Response, error)
	// answer returns the ACK of a response, or with a reason its NACK.
	answer(r Response, reason error) proto.Message
}

// detail is what a NACK says. Code 13, INTERNAL, is what Envoy sends.
func detail(reason error) *statuspb.Status {
	if reason == nil {
		return nil
	}
	return &statuspb.Status{Code: int32(codes.Internal), Message: reason.Error()}
}

// unwrap returns a resource of state of the world, which may stand in a discovery.v3.Resource.
func unwrap(typeURL string, value []byte, version string) (Resource, error) {
	if typeURL != typeWrapped {
		return Resource{Name: NameOf(value), Version: version, Type: typeURL, Value: value}, nil
	}
	var wrapped discoveryv3.Resource
	if err := proto.Unmarshal(value, &wrapped); err != nil {
		return Resource{}, err
	}
	r := fromDelta(&wrapped)
	if r.Name == "" {
		r.Name = NameOf(r.Value)
	}
	if r.Version == "" {
		r.Version = version
	}
	return r, nil
}

func fromDelta(r *discoveryv3.Resource) Resource {
	return Resource{Name: r.GetName(), Version: r.GetVersion(), Type: r.GetResource().GetTypeUrl(), Value: r.GetResource().GetValue()}
}
