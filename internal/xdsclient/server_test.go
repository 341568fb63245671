package xdsclient

import (
	"context"
	"net"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	secretv3 "github.com/envoyproxy/go-control-plane/envoy/service/secret/v3"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/pillion-mesh/pillion/internal/proxy/socket/sockettest"
)

// patience bounds every wait of a test; nothing is measured with it.
const patience = 20 * time.Second

// script is a control plane that a test speaks for: each stream appears on streams.
type script struct {
	discoveryv3.UnimplementedAggregatedDiscoveryServiceServer
	secretv3.UnimplementedSecretDiscoveryServiceServer
	streams chan *conversation
	address string
}

// conversation is one stream: what the client says comes out of heard, what is put into say goes to it.
type conversation struct {
	heard chan proto.Message
	say   chan proto.Message
	end   chan error
	ctx   context.Context
}

func newScript(t *testing.T, network string, options ...grpc.ServerOption) *script {
	t.Helper()
	address := sockettest.Any()
	if network == "unix" {
		address = filepath.Join(t.TempDir(), "xds.sock")
	}
	listener, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	s := &script{streams: make(chan *conversation, 16), address: listener.Addr().String()}
	if network == "unix" {
		s.address = "unix:" + address
	}
	server := grpc.NewServer(append(options, grpc.MaxRecvMsgSize(maxMessage))...)
	discoveryv3.RegisterAggregatedDiscoveryServiceServer(server, s)
	secretv3.RegisterSecretDiscoveryServiceServer(server, s)
	var served sync.WaitGroup
	served.Go(func() { _ = server.Serve(listener) })
	t.Cleanup(func() { server.Stop(); served.Wait() })
	return s
}

func (s *script) DeltaAggregatedResources(stream grpc.BidiStreamingServer[discoveryv3.DeltaDiscoveryRequest, discoveryv3.DeltaDiscoveryResponse]) error {
	return s.converse(stream, func() proto.Message { return &discoveryv3.DeltaDiscoveryRequest{} })
}

func (s *script) StreamAggregatedResources(stream grpc.BidiStreamingServer[discoveryv3.DiscoveryRequest, discoveryv3.DiscoveryResponse]) error {
	return s.converse(stream, func() proto.Message { return &discoveryv3.DiscoveryRequest{} })
}

func (s *script) StreamSecrets(stream grpc.BidiStreamingServer[discoveryv3.DiscoveryRequest, discoveryv3.DiscoveryResponse]) error {
	return s.converse(stream, func() proto.Message { return &discoveryv3.DiscoveryRequest{} })
}

func (s *script) converse(stream grpc.ServerStream, request func() proto.Message) error {
	c := &conversation{heard: make(chan proto.Message, 64), say: make(chan proto.Message), end: make(chan error), ctx: stream.Context()}
	go func() {
		for m := request(); stream.RecvMsg(m) == nil; m = request() {
			c.heard <- m
		}
	}()
	s.streams <- c
	for {
		select {
		case m := <-c.say:
			if err := stream.SendMsg(m); err != nil {
				return err
			}
		case err := <-c.end:
			return err
		case <-stream.Context().Done():
			return nil
		}
	}
}

func (s *script) next(t *testing.T) *conversation {
	t.Helper()
	return receive(t, s.streams, "a stream")
}

func (c *conversation) delta(t *testing.T) *discoveryv3.DeltaDiscoveryRequest {
	t.Helper()
	return receive(t, c.heard, "a request").(*discoveryv3.DeltaDiscoveryRequest)
}

func (c *conversation) sotw(t *testing.T) *discoveryv3.DiscoveryRequest {
	t.Helper()
	return receive(t, c.heard, "a request").(*discoveryv3.DiscoveryRequest)
}

func receive[T any](t *testing.T, from <-chan T, what string) T {
	t.Helper()
	select {
	case v := <-from:
		return v
	case <-time.After(patience):
		t.Fatalf("no %s came", what)
		panic("unreachable")
	}
}

func send[T any](t *testing.T, to chan<- T, v T) {
	t.Helper()
	select {
	case to <- v:
	case <-time.After(patience):
		t.Fatal("nobody took the message")
	}
}

// node is a serialised node.
func node(t *testing.T) []byte {
	t.Helper()
	raw, err := proto.Marshal(&corev3.Node{Id: "sidecar~10.0.0.1~a.b~c", Cluster: "a"})
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// resource is some message under a type URL; what's in it doesn't matter here but for its name in field 1.
func resource(t *testing.T, typeURL, name string) *anypb.Any {
	t.Helper()
	value, err := proto.Marshal(&corev3.Address{}) // empty
	if err != nil {
		t.Fatal(err)
	}
	value = append(value, 0x0a, byte(len(name)))
	return &anypb.Any{TypeUrl: typeURL, Value: append(value, name...)}
}

// recorder is a handler that keeps what it gets and answers as it is told.
type recorder struct {
	got    chan Response
	answer func(Response) error

	mu   sync.Mutex
	held map[string]map[string]string
}

func newRecorder() *recorder {
	return &recorder{got: make(chan Response, 64), held: map[string]map[string]string{}}
}

func (r *recorder) Apply(response Response) error {
	r.got <- response
	if r.answer != nil {
		if err := r.answer(response); err != nil {
			return err
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, each := range response.Resources {
		if r.held[response.Type] == nil {
			r.held[response.Type] = map[string]string{}
		}
		r.held[response.Type][each.Name] = each.Version
	}
	for _, name := range response.Removed {
		delete(r.held[response.Type], name)
	}
	return nil
}

func (r *recorder) Held(typeURL string) map[string]string {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := map[string]string{}
	for name, version := range r.held[typeURL] {
		out[name] = version
	}
	return out
}

// start runs a client until the test ends, and then looks for goroutines that it left behind.
func start(t *testing.T, o Options, h Handler) *Client {
	t.Helper()
	if o.Node == nil {
		o.Node = node(t)
	}
	if o.Backoff == (Backoff{}) {
		o.Backoff = Backoff{Base: time.Millisecond, Max: 5 * time.Millisecond}
	}
	c, err := New(o, h)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { c.Run(ctx) })
	t.Cleanup(func() { cancel(); running.Wait(); leaks(t) })
	return c
}

// leaks waits until no goroutine stands in this package's code but a test's. gRPC ends its own in the background.
func leaks(t *testing.T) {
	t.Helper()
	var stacks string
	for end := time.Now().Add(patience); time.Now().Before(end); runtime.Gosched() {
		buffer := make([]byte, 1<<20)
		stacks = string(buffer[:runtime.Stack(buffer, true)])
		if !strings.Contains(stacks, "xdsclient.(*session)") && !strings.Contains(stacks, "xdsclient.(*Client)") {
			return
		}
	}
	t.Errorf("goroutines are left:\n%s", stacks)
}

func (c *conversation) tell(t *testing.T, m proto.Message) {
	t.Helper()
	send(t, c.say, m)
}
