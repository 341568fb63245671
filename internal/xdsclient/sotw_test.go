package xdsclient

import (
	"errors"
	"slices"
	"testing"

	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/protobuf/types/known/anypb"
)

func sotwMessage(typeURL, version string, resources ...*anypb.Any) *discoveryv3.DiscoveryResponse {
	return &discoveryv3.DiscoveryResponse{TypeUrl: typeURL, VersionInfo: version, Nonce: "n" + version, Resources: resources}
}

func TestStateOfTheWorld(t *testing.T) {
	server, handler := newScript(t, "tcp"), newRecorder()
	refuse := errors.New("no")
	handler.answer = func(r Response) error {
		if r.Version == "2" {
			return refuse
		}
		return nil
	}
	c := start(t, Options{Address: server.address, StateOfTheWorld: true}, handler)
	c.Want(TypeEndpoints, []string{"x", "y"})
	stream := server.next(t)
	if r := stream.sotw(t); !slices.Equal(r.GetResourceNames(), []string{"x", "y"}) || r.GetNode() == nil || r.GetVersionInfo() != "" || r.GetResponseNonce() != "" {
		t.Fatalf("the first request is %v", r)
	}
	stream.tell(t, sotwMessage(TypeEndpoints, "1", resource(t, TypeEndpoints, "x")))
	if r := stream.sotw(t); r.GetVersionInfo() != "1" || r.GetResponseNonce() != "n1" || r.GetErrorDetail() != nil || r.GetNode() != nil || len(r.GetResourceNames()) != 2 {
		t.Fatalf("the ACK is %v", r)
	}
	if got := receive(t, handler.got, "response"); got.Complete || got.Resources[0].Name != "x" || got.Resources[0].Version != "1" {
		t.Fatalf("got %+v: absence of endpoints means nothing", got)
	}
	stream.tell(t, sotwMessage(TypeEndpoints, "2", resource(t, TypeEndpoints, "x")))
	if r := stream.sotw(t); r.GetVersionInfo() != "1" || r.GetResponseNonce() != "n2" || r.GetErrorDetail().GetMessage() != "no" {
		t.Fatalf("the NACK is %v: it has the version that is in use", r)
	}
	c.Want(TypeEndpoints, []string{"x", "y", "z"})
	if r := stream.sotw(t); r.GetVersionInfo() != "1" || r.GetResponseNonce() != "n2" || len(r.GetResourceNames()) != 3 {
		t.Fatalf("the change is %v", r)
	}
	send(t, stream.end, errors.New("gone"))
	stream = server.next(t)
	if r := stream.sotw(t); r.GetVersionInfo() != "1" || r.GetResponseNonce() != "" || r.GetNode() == nil {
		t.Fatalf("the first request of the second stream is %v", r)
	}
}

// TestCompleteness: absence removes clusters and listeners, nothing else.
func TestCompleteness(t *testing.T) {
	for typeURL, complete := range map[string]bool{
		TypeCluster: true, TypeListener: true, TypeEndpoints: false, TypeRoutes: false, TypeSecret: false, TypeExtension: false,
	} {
		if absenceRemoves(typeURL) != complete {
			t.Errorf("%s: %v", typeURL, !complete)
		}
	}
}

func TestWrappedResource(t *testing.T) {
	inner := resource(t, TypeCluster, "a")
	wrapped, err := anypb.New(&discoveryv3.Resource{Name: "n", Version: "7", Resource: inner})
	if err != nil {
		t.Fatal(err)
	}
	r, err := unwrap(wrapped.GetTypeUrl(), wrapped.GetValue(), "1")
	if err != nil || r.Name != "n" || r.Version != "7" || r.Type != TypeCluster || !slices.Equal(r.Value, inner.GetValue()) {
		t.Errorf("got %+v, %v", r, err)
	}
}

func FuzzNameOf(f *testing.F) {
	f.Add([]byte("\x0a\x01a"))
	f.Add([]byte("\x12\x01a\x0a\x01b"))
	f.Add([]byte("\x0a\xff\xff\xff\xff\x0f"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		if len(NameOf(raw)) > 3*len(raw) {
			t.Error("longer than its input")
		}
	})
}
