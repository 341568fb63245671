package interop

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"reflect"
	"slices"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/encoding/gzip"
	pb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/pillion-mesh/pillion/test/proxy/rig"
)

// TestGRPC is what grpc-go's client and server notice of two proxies between them: nothing.
func TestGRPC(t *testing.T) {
	for name, link := range links {
		t.Run(name, func(t *testing.T) {
			settled := rig.Settled(t)
			t.Run("calls", func(t *testing.T) {
				s, l := newService(), rig.Listen(t)
				serveGRPC(t, l, s)
				c := link(t, l.Addr().String())
				client := call(t, c.first.Address)
				tests := map[string]func(*testing.T, pb.TestServiceClient, *service){
					"metadata": metadataPasses, "status": statusPasses, "trailers only": trailersOnly, "streams": streams,
					"client cancels": clientCancels, "server ends": serverEnds, "deadline": deadline, "compression": compression,
				}
				if name == "mTLS" { // the two that cost most, once each
					tests["large"] = large
				} else {
					tests["a thousand streams"] = thousand
				}
				for name, test := range tests {
					t.Run(name, func(t *testing.T) { test(t, client, s) })
				}
				for _, p := range []*rig.Proxy{c.first, c.second} {
					if n := p.Stat("envoy_http_downstream_cx_protocol_error", nil); n != 0 {
						t.Errorf("%v protocol errors", n)
					}
				}
			})
			settled()
		})
	}
}

func metadataPasses(t *testing.T, client pb.TestServiceClient, _ *service) {
	binary := string([]byte{0, 1, 255, ',', ' ', 10})
	ctx := metadata.NewOutgoingContext(patient(t), metadata.MD{"x-plain": {"one", "two, three"}, "x-data-bin": {binary, ""}})
	var header, trailer metadata.MD
	_, err := client.UnaryCall(ctx, &pb.SimpleRequest{Payload: &pb.Payload{Body: []byte("x")}}, grpc.Header(&header), grpc.Trailer(&trailer))
	if err != nil {
		t.Fatal(err)
	}
	for got, want := range map[*[]string][]string{
		ptr(header["x-plain"]): {"one", "two, three"}, ptr(header["x-data-bin"]): {binary, ""},
		ptr(trailer["x-trailer"]): {"one", "two, three"}, ptr(trailer["x-trailer-bin"]): {binary, ""},
	} {
		if !reflect.DeepEqual(*got, want) {
			t.Errorf("got %q, want %q", *got, want)
		}
	}
}

func ptr[T any](v T) *T { return &v }

func statusPasses(t *testing.T, client pb.TestServiceClient, _ *service) {
	for code := codes.Canceled; code <= codes.Unauthenticated; code++ {
		message := fmt.Sprintf("%d %% ü\n", code)
		_, err := client.UnaryCall(patient(t), &pb.SimpleRequest{ResponseStatus: &pb.EchoStatus{Code: int32(code), Message: message}})
		got := status.Convert(err)
		if got.Code() != code || got.Message() != message {
			t.Errorf("%v: got %v", code, err)
		}
		if d := got.Details(); len(d) != 1 || d[0].(*wrapperspb.StringValue).GetValue() != "detail ü" {
			t.Errorf("%v: details %v", code, d)
		}
	}
}

func trailersOnly(t *testing.T, client pb.TestServiceClient, _ *service) {
	var header, trailer metadata.MD
	ctx := metadata.AppendToOutgoingContext(patient(t), "x-plain", "one")
	_, err := client.UnaryCall(ctx, &pb.SimpleRequest{ResponseStatus: &pb.EchoStatus{Code: 9, Message: "no"}}, grpc.Header(&header), grpc.Trailer(&trailer))
	if status.Code(err) != codes.FailedPrecondition || !slices.Equal(trailer["x-trailer"], []string{"one"}) {
		t.Errorf("%v, header %v, trailer %v", err, header, trailer)
	}
}

func streams(t *testing.T, client pb.TestServiceClient, _ *service) {
	in, err := client.StreamingInputCall(patient(t))
	if err != nil {
		t.Fatal(err)
	}
	for range 100 {
		if err := in.Send(&pb.StreamingInputCallRequest{Payload: &pb.Payload{Body: make([]byte, 1000)}}); err != nil {
			t.Fatal(err)
		}
	}
	if sum, err := in.CloseAndRecv(); err != nil || sum.GetAggregatedPayloadSize() != 100000 {
		t.Errorf("%v, %v", sum, err)
	}
	ask := ping(1, 1)
	for range 99 {
		ask.ResponseParameters = append(ask.ResponseParameters, &pb.ResponseParameters{Size: 1000})
	}
	out, err := client.StreamingOutputCall(patient(t), ask)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 100 {
		if _, err := out.Recv(); err != nil {
			t.Fatalf("message %d: %v", i, err)
		}
	}
	if _, err := out.Recv(); !errors.Is(err, io.EOF) {
		t.Errorf("the end: %v", err)
	}
	both := open(t, client)
	for range 100 {
		pong(t, both)
	}
	finish(t, both)
}

type duplex = pb.TestService_FullDuplexCallClient

// open returns a stream through which a message has gone both ways.
func open(t *testing.T, client pb.TestServiceClient) duplex {
	t.Helper()
	s, err := client.FullDuplexCall(patient(t))
	if err != nil {
		t.Fatal(err)
	}
	pong(t, s)
	return s
}

func pong(t *testing.T, s duplex) {
	t.Helper()
	if err := s.Send(ping(10, 10)); err != nil {
		t.Fatal(err)
	}
	if m, err := s.Recv(); err != nil || len(m.GetPayload().GetBody()) != 10 {
		t.Fatal(m, err)
	}
}

func finish(t *testing.T, s duplex) {
	t.Helper()
	_ = s.CloseSend()
	if m, err := s.Recv(); !errors.Is(err, io.EOF) {
		t.Errorf("the end: %v, %v", m, err)
	}
}

func clientCancels(t *testing.T, client pb.TestServiceClient, s *service) {
	ctx, cancel := context.WithCancel(t.Context()) // without a deadline
	defer cancel()
	hanging, err := client.StreamingOutputCall(ctx, &pb.StreamingOutputCallRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if at := await(t, s.deadline); !at.IsZero() {
		t.Errorf("the server sees a deadline: %v", at)
	}
	cancel()
	if _, err := hanging.Recv(); status.Code(err) != codes.Canceled {
		t.Errorf("the client sees %v", err)
	}
	if err := await(t, s.ended); !errors.Is(err, context.Canceled) {
		t.Errorf("the server sees %v", err)
	}
}

func await[T any](t *testing.T, c <-chan T) (v T) {
	t.Helper()
	select {
	case v = <-c:
	case <-time.After(rig.Patience):
		t.Fatal("the other side hears nothing of it")
	}
	return v
}

// serverEnds is the server's way to cancel: a status while the client is sending.
func serverEnds(t *testing.T, client pb.TestServiceClient, _ *service) {
	s := open(t, client)
	if err := s.Send(&pb.StreamingOutputCallRequest{ResponseStatus: &pb.EchoStatus{Code: 10, Message: "enough"}}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Recv(); status.Code(err) != codes.Aborted {
		t.Errorf("the client sees %v", err)
	}
	for err := error(nil); err == nil; { // and then can't send any more
		err = s.Send(ping(1000, 1))
	}
}

// deadline is longer each time the server wasn't reached before it passed.
func deadline(t *testing.T, client pb.TestServiceClient, s *service) {
	for limit := 500 * time.Millisecond; limit < rig.Patience; limit *= 2 {
		ctx, cancel := context.WithTimeout(t.Context(), limit)
		defer cancel()
		hanging, err := client.StreamingOutputCall(ctx, &pb.StreamingOutputCallRequest{})
		if err == nil {
			_, err = hanging.Recv()
		}
		if status.Code(err) != codes.DeadlineExceeded {
			t.Errorf("the client sees %v", err)
		}
		select {
		case at := <-s.deadline:
			if err := await(t, s.ended); at.IsZero() || err == nil {
				t.Errorf("the server sees the deadline %v, the end %v", at, err)
			}
			return
		default:
		}
	}
	t.Error("the server is never reached")
}

// large messages are many times as long as the windows: flow control works both ways at once.
func large(t *testing.T, client pb.TestServiceClient, _ *service) {
	s, err := client.FullDuplexCall(patient(t))
	if err != nil {
		t.Fatal(err)
	}
	var sent sync.WaitGroup
	sent.Go(func() {
		if err := s.Send(ping(message16M, message16M)); err != nil {
			t.Error(err)
		}
		_ = s.CloseSend()
	})
	m, err := s.Recv()
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(m.GetPayload().GetBody(), bytes.Repeat([]byte("p"), message16M)) {
		t.Error("another message came back")
	}
	sent.Wait()
	finish(t, s)
}

func compression(t *testing.T, client pb.TestServiceClient, s *service) {
	in := &pb.SimpleRequest{Payload: &pb.Payload{Body: make([]byte, 100000)}, ResponseSize: 100000}
	out, err := client.UnaryCall(patient(t), in, grpc.UseCompressor(gzip.Name))
	if err != nil || len(out.GetPayload().GetBody()) != 100000 {
		t.Errorf("%v", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.squeezed {
		t.Error("the server got no compressed message")
	}
}

// thousand streams are open at once.
func thousand(t *testing.T, client pb.TestServiceClient, _ *service) {
	const many = 1000
	all := make([]duplex, many)
	var wait sync.WaitGroup
	for i := range all {
		wait.Go(func() { all[i] = open(t, client) })
	}
	wait.Wait()
	for i := range all {
		wait.Go(func() { pong(t, all[i]); finish(t, all[i]) })
	}
	wait.Wait()
}

// TestGRPCServerLeaves: open streams outlive the server's GOAWAY, and after its restart calls succeed again.
func TestGRPCServerLeaves(t *testing.T) {
	s, l := newService(), rig.Listen(t)
	server := serveGRPC(t, l, s)
	client := call(t, mutual(t, l.Addr().String()).first.Address)
	var all []duplex
	for range 20 {
		all = append(all, open(t, client))
	}
	stopped := make(chan struct{})
	go func() { defer close(stopped); server.GracefulStop() }()
	rig.Eventually(t, "the server takes no new calls", func() error {
		_, err := client.UnaryCall(patient(t), &pb.SimpleRequest{})
		if status.Code(err) != codes.Unavailable {
			return fmt.Errorf("a new call: %w", err)
		}
		return nil
	})
	for _, each := range all {
		pong(t, each)
		finish(t, each)
	}
	await(t, stopped)
	again, err := net.Listen("tcp4", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	serveGRPC(t, again, s)
	if _, err := client.UnaryCall(patient(t), &pb.SimpleRequest{}); err != nil {
		t.Errorf("after the restart: %v", err)
	}
}

// TestGRPCServerDies: calls in flight on a server that dies end, none hangs, and the next one's calls succeed.
func TestGRPCServerDies(t *testing.T) {
	s, l := newService(), rig.Listen(t)
	server := serveGRPC(t, l, s)
	c := mutual(t, l.Addr().String())
	client := call(t, c.first.Address)
	both := open(t, client)
	server.Stop()
	if _, err := both.Recv(); status.Code(err) != codes.Internal && status.Code(err) != codes.Unavailable {
		t.Errorf("the call in flight: %v", err)
	}
	again, err := net.Listen("tcp4", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	serveGRPC(t, again, s)
	if _, err := client.UnaryCall(patient(t), &pb.SimpleRequest{}); err != nil {
		t.Errorf("after the restart: %v", err)
	}
}

// TestGRPCProxyDrains: the proxies send GOAWAY while calls are made; none is lost.
func TestGRPCProxyDrains(t *testing.T) {
	s, l := newService(), rig.Listen(t)
	serveGRPC(t, l, s)
	c := mutual(t, l.Addr().String())
	client := call(t, c.first.Address)
	both := open(t, client)
	var wait sync.WaitGroup
	for range 10 {
		wait.Go(func() {
			for range 20 {
				if _, err := client.UnaryCall(patient(t), &pb.SimpleRequest{}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	pong(t, both)
	c.second.Drain(0, true)
	pong(t, both)
	c.first.Drain(0, true)
	pong(t, both)
	wait.Wait()
	finish(t, both)
}
