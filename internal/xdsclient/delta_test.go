package xdsclient

import (
	"errors"
	"slices"
	"testing"

	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

func deltaResource(t *testing.T, typeURL, name, version string) *discoveryv3.Resource {
	t.Helper()
	return &discoveryv3.Resource{Name: name, Version: version, Resource: resource(t, typeURL, name)}
}

func TestDeltaConversation(t *testing.T) {
	server, handler := newScript(t, "tcp"), newRecorder()
	c := start(t, Options{Address: server.address}, handler)
	c.WantAll(TypeCluster)
	stream := server.next(t)

	first := stream.delta(t)
	if first.GetTypeUrl() != TypeCluster || len(first.GetResourceNamesSubscribe()) != 0 || first.GetNode().GetId() == "" {
		t.Fatalf("the first request is %v: a wildcard wants no names and the node", first)
	}
	stream.tell(t, deltaMessage(t, TypeCluster, "n1", deltaResource(t, TypeCluster, "a", "1")))
	if ack := stream.delta(t); ack.GetResponseNonce() != "n1" || ack.GetErrorDetail() != nil || len(ack.GetResourceNamesSubscribe()) != 0 || ack.GetNode() != nil {
		t.Fatalf("the ACK is %v", ack)
	}
	if got := receive(t, handler.got, "response"); len(got.Resources) != 1 || got.Resources[0].Name != "a" || got.Resources[0].Version != "1" || got.Complete {
		t.Fatalf("got %+v", got)
	}

	c.Want(TypeEndpoints, []string{"y", "x", "y"})
	if r := stream.delta(t); !slices.Equal(r.GetResourceNamesSubscribe(), []string{"x", "y"}) || r.GetResponseNonce() != "" {
		t.Fatalf("the subscription is %v", r)
	}
	c.Want(TypeEndpoints, []string{"y", "z"})
	if r := stream.delta(t); !slices.Equal(r.GetResourceNamesSubscribe(), []string{"z"}) || !slices.Equal(r.GetResourceNamesUnsubscribe(), []string{"x"}) || r.GetResponseNonce() != "" {
		t.Fatalf("the change is %v", r)
	}
}

func TestDeltaNACK(t *testing.T) {
	server, handler := newScript(t, "tcp"), newRecorder()
	handler.answer = func(Response) error { return errors.New(`cluster "a": no`) }
	c := start(t, Options{Address: server.address}, handler)
	c.WantAll(TypeCluster)
	stream := server.next(t)
	stream.delta(t)
	stream.tell(t, deltaMessage(t, TypeCluster, "n1", deltaResource(t, TypeCluster, "a", "1")))
	nack := stream.delta(t)
	if nack.GetResponseNonce() != "n1" || nack.GetErrorDetail().GetCode() != 13 || nack.GetErrorDetail().GetMessage() != `cluster "a": no` {
		t.Fatalf("the NACK is %v", nack)
	}
	counters := c.Stats().Of(TypeCluster)
	if counters.Rejected.Load() != 1 || counters.Success.Load() != 0 || counters.Version() != "" {
		t.Errorf("counters: rejected %d success %d version %q", counters.Rejected.Load(), counters.Success.Load(), counters.Version())
	}
}

// TestDeltaReconnect: a new stream says what is held, so that only differences come, and names in the order of Want.
func TestDeltaReconnect(t *testing.T) {
	server, handler := newScript(t, "tcp"), newRecorder()
	c := start(t, Options{Address: server.address}, handler)
	c.WantAll(TypeCluster)
	stream := server.next(t)
	stream.delta(t)
	stream.tell(t, deltaMessage(t, TypeCluster, "n1", deltaResource(t, TypeCluster, "a", "1"), deltaResource(t, TypeCluster, "b", "2")))
	stream.delta(t)
	gone := deltaMessage(t, TypeCluster, "n2")
	gone.RemovedResources = []string{"b"}
	stream.tell(t, gone)
	stream.delta(t)
	c.Want(TypeEndpoints, []string{"x"})
	stream.delta(t)
	send(t, stream.end, status.Error(codes.Unavailable, "going away"))

	stream = server.next(t)
	r := stream.delta(t)
	if v := r.GetInitialResourceVersions(); r.GetTypeUrl() != TypeCluster || len(v) != 1 || v["a"] != "1" || r.GetNode() == nil {
		t.Errorf("the first request of the second stream is %v", r)
	}
	if r = stream.delta(t); r.GetTypeUrl() != TypeEndpoints || !slices.Equal(r.GetResourceNamesSubscribe(), []string{"x"}) || r.GetNode() != nil {
		t.Errorf("the second request is %v", r)
	}
	if c.Stats().Of(TypeCluster).Failure.Load() == 0 {
		t.Error("the lost stream isn't counted")
	}
}

func TestUnaskedTypeIsRefused(t *testing.T) {
	server, handler := newScript(t, "tcp"), newRecorder()
	c := start(t, Options{Address: server.address}, handler)
	c.WantAll(TypeCluster)
	stream := server.next(t)
	stream.delta(t)
	stream.tell(t, deltaMessage(t, "type.googleapis.com/x.Y", "n1"))
	if r := stream.delta(t); r.GetErrorDetail().GetMessage() != errUnasked.Error() || r.GetTypeUrl() != "type.googleapis.com/x.Y" {
		t.Errorf("the answer is %v", r)
	}
	if len(handler.got) != 0 {
		t.Error("the handler saw it")
	}
}

func deltaMessage(t *testing.T, typeURL, nonce string, resources ...*discoveryv3.Resource) *discoveryv3.DeltaDiscoveryResponse {
	t.Helper()
	return &discoveryv3.DeltaDiscoveryResponse{TypeUrl: typeURL, Nonce: nonce, SystemVersionInfo: "v-" + nonce, Resources: resources}
}

func TestDifference(t *testing.T) {
	for _, c := range []struct{ before, after, added, removed []string }{
		{nil, nil, nil, nil},
		{nil, []string{"a"}, []string{"a"}, nil},
		{[]string{"a"}, nil, nil, []string{"a"}},
		{[]string{"a", "c"}, []string{"b", "c", "d"}, []string{"b", "d"}, []string{"a"}},
	} {
		if added, removed := difference(c.before, c.after); !slices.Equal(added, c.added) || !slices.Equal(removed, c.removed) {
			t.Errorf("%v → %v: added %v, removed %v", c.before, c.after, added, removed)
		}
	}
}

// TestNameThatCameBack: what was given up and wanted again before the server was told is asked for again, because its
// resource was forgotten in between.
func TestNameThatCameBack(t *testing.T) {
	held := func(string) map[string]string { return nil }
	c := &Client{changed: make(chan struct{}, 1)}
	c.Want(TypeRoutes, []string{"a", "b"})
	d, s := newDelta(nil), newSotW(nil, map[string]string{})
	first := c.tell()[0]
	d.subscribe(first, held)
	s.subscribe(first, held)
	c.Want(TypeRoutes, []string{"a"})
	c.Want(TypeRoutes, []string{"a", "b"})
	back := c.tell()[0]
	if r := d.subscribe(back, held); len(r) != 1 || !slices.Equal(r[0].(*discoveryv3.DeltaDiscoveryRequest).GetResourceNamesSubscribe(), []string{"b"}) {
		t.Errorf("delta says %v", r)
	}
	r := s.subscribe(back, held)
	if len(r) != 2 || !slices.Equal(r[0].(*discoveryv3.DiscoveryRequest).GetResourceNames(), []string{"a"}) || len(r[1].(*discoveryv3.DiscoveryRequest).GetResourceNames()) != 2 {
		t.Errorf("state of the world says %v", r)
	}
	if quiet := c.tell()[0]; d.subscribe(quiet, held) != nil || s.subscribe(quiet, held) != nil {
		t.Error("it is said once")
	}
}
