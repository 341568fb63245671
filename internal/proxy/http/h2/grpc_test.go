package h2

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/pillion-mesh/pillion/internal/proxy/socket/sockettest"
)

type message0 = wrapperspb.BytesValue

// streamOf handles all four kinds of calls: each takes messages and sends them back.
var kinds = map[string]grpc.StreamDesc{
	"Unary":  {StreamName: "Unary", Handler: handleUnary},
	"Client": {StreamName: "Client", Handler: handleClient, ClientStreams: true},
	"Server": {StreamName: "Server", Handler: handleServer, ServerStreams: true},
	"Both":   {StreamName: "Both", Handler: handleBoth, ClientStreams: true, ServerStreams: true},
	"Fail":   {StreamName: "Fail", Handler: handleFail},
	"Hang":   {StreamName: "Hang", Handler: handleHang, ClientStreams: true, ServerStreams: true},
}

func handleUnary(_ any, s grpc.ServerStream) error {
	var m message0
	if err := s.RecvMsg(&m); err != nil {
		return err
	}
	md, _ := metadata.FromIncomingContext(s.Context())
	s.SetTrailer(metadata.MD{"x-seen": md["x-sent"]})
	return s.SendMsg(&m)
}

func handleClient(_ any, s grpc.ServerStream) error {
	var sum message0
	for {
		var m message0
		err := s.RecvMsg(&m)
		if errors.Is(err, io.EOF) {
			return s.SendMsg(&sum)
		}
		if err != nil {
			return err
		}
		sum.Value = append(sum.Value, m.Value...)
	}
}

func handleServer(_ any, s grpc.ServerStream) error {
	var m message0
	if err := s.RecvMsg(&m); err != nil {
		return err
	}
	for i := range m.Value {
		if err := s.SendMsg(&message0{Value: m.Value[i : i+1]}); err != nil {
			return err
		}
	}
	return nil
}

func handleBoth(_ any, s grpc.ServerStream) error {
	for {
		var m message0
		err := s.RecvMsg(&m)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := s.SendMsg(&m); err != nil {
			return err
		}
	}
}

func handleFail(any, grpc.ServerStream) error {
	return status.Error(codes.PermissionDenied, "not you: 100 %")
}

func handleHang(srv any, s grpc.ServerStream) error {
	srv.(*hang).begun <- struct{}{}
	<-s.Context().Done()
	srv.(*hang).ended <- s.Context().Err()
	return s.Context().Err()
}

type hang struct {
	begun chan struct{}
	ended chan error
}

// grpcServer runs grpc-go's server.
func grpcServer(t testing.TB, o ...grpc.ServerOption) (string, *hang) {
	l := sockettest.Listen(t)
	desc := grpc.ServiceDesc{ServiceName: "test.Service", HandlerType: (*any)(nil)}
	for _, d := range kinds {
		desc.Streams = append(desc.Streams, d)
	}
	h := &hang{make(chan struct{}, 100), make(chan error, 100)}
	s := grpc.NewServer(append(o, grpc.MaxRecvMsgSize(64<<20))...)
	s.RegisterService(&desc, h)
	go func() { _ = s.Serve(l) }()
	t.Cleanup(s.Stop)
	return l.Addr().String(), h
}

func grpcClient(t testing.TB, addr string) *grpc.ClientConn {
	c, err := grpc.NewClient(addr, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(64<<20)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func call(ctx context.Context, t testing.TB, c *grpc.ClientConn, kind string, o ...grpc.CallOption) grpc.ClientStream {
	desc := kinds[kind]
	s, err := c.NewStream(ctx, &desc, "/test.Service/"+kind, o...)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func deadline(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

func TestGRPC(t *testing.T) {
	server, hanging := grpcServer(t)
	c := grpcClient(t, proxyTo(t, server, Options{}))
	ctx := deadline(t)

	t.Run("unary with metadata", func(t *testing.T) {
		for _, size := range []int{0, 1, 70000, 10 << 20} {
			var trailer metadata.MD
			s := call(metadata.AppendToOutgoingContext(ctx, "x-sent", "1"), t, c, "Unary", grpc.Trailer(&trailer))
			sent := &message0{Value: bytes.Repeat([]byte{'x'}, size)}
			var got message0
			if err := errors.Join(s.SendMsg(sent), s.CloseSend(), s.RecvMsg(&got)); err != nil || !bytes.Equal(got.Value, sent.Value) {
				t.Fatalf("%d bytes: got %d, %v", size, len(got.Value), err)
			}
			if v := trailer["x-seen"]; len(v) != 1 || v[0] != "1" {
				t.Errorf("trailer %v", trailer)
			}
		}
	})
	t.Run("client stream", func(t *testing.T) {
		s := call(ctx, t, c, "Client")
		for i := range 1000 {
			if err := s.SendMsg(&message0{Value: []byte{byte(i)}}); err != nil {
				t.Fatal(err)
			}
		}
		var got message0
		if err := errors.Join(s.CloseSend(), s.RecvMsg(&got)); err != nil || len(got.Value) != 1000 {
			t.Fatalf("%d bytes, %v", len(got.Value), err)
		}
	})
	t.Run("server stream", func(t *testing.T) {
		s := call(ctx, t, c, "Server")
		if err := errors.Join(s.SendMsg(&message0{Value: make([]byte, 1000)}), s.CloseSend()); err != nil {
			t.Fatal(err)
		}
		n := 0
		for ; ; n++ {
			var got message0
			if err := s.RecvMsg(&got); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				t.Fatal(err)
			}
		}
		if n != 1000 {
			t.Errorf("%d messages", n)
		}
	})
	t.Run("ping pong, many at once", func(t *testing.T) {
		var all sync.WaitGroup
		for range 50 {
			all.Go(func() { pingPong(ctx, t, c, 50) })
		}
		all.Wait()
	})
	t.Run("trailers only", func(t *testing.T) {
		s := call(ctx, t, c, "Fail")
		var got message0
		_, _ = s.SendMsg(&got), s.CloseSend()
		err := s.RecvMsg(&got)
		if status.Code(err) != codes.PermissionDenied || status.Convert(err).Message() != "not you: 100 %" {
			t.Errorf("%v", err)
		}
	})
	t.Run("cancel reaches the server", func(t *testing.T) {
		ctx, cancel := context.WithCancel(ctx)
		s := call(ctx, t, c, "Hang")
		<-hanging.begun
		cancel()
		if err := s.RecvMsg(&message0{}); status.Code(err) != codes.Canceled {
			t.Errorf("%v", err)
		}
		if err := <-hanging.ended; !errors.Is(err, context.Canceled) {
			t.Errorf("the server saw %v", err)
		}
	})
	t.Run("deadline", func(t *testing.T) {
		ctx, cancel := context.WithTimeout(ctx, 20*time.Millisecond)
		defer cancel()
		desc := kinds["Hang"]
		s, err := c.NewStream(ctx, &desc, "/test.Service/Hang")
		if err == nil {
			err = s.RecvMsg(&message0{})
		}
		if status.Code(err) != codes.DeadlineExceeded {
			t.Errorf("%v", err)
		}
	})
}

func pingPong(ctx context.Context, t *testing.T, c *grpc.ClientConn, rounds int) {
	s := call(ctx, t, c, "Both")
	for i := range rounds {
		var got message0
		want := fmt.Append(nil, i)
		if err := errors.Join(s.SendMsg(&message0{Value: want}), s.RecvMsg(&got)); err != nil || !bytes.Equal(got.Value, want) {
			t.Errorf("round %d: %q, %v", i, got.Value, err)
			return
		}
	}
	if err := errors.Join(s.CloseSend()); err != nil {
		t.Error(err)
	}
	if err := s.RecvMsg(&message0{}); !errors.Is(err, io.EOF) {
		t.Errorf("at the end: %v", err)
	}
}

// TestGoAwayUnderLoad: the server ends each of its connections after a moment, the proxy drains those of the client;
// no call fails.
func TestGoAwayUnderLoad(t *testing.T) {
	server, _ := grpcServer(t, grpc.KeepaliveParams(keepalive.ServerParameters{
		MaxConnectionAge: 50 * time.Millisecond, MaxConnectionAgeGrace: time.Minute}))
	c := grpcClient(t, proxyTo(t, server, Options{}))
	ctx, stop := context.WithTimeout(context.Background(), time.Second)
	defer stop()
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for ctx.Err() == nil {
				s := call(deadline(t), t, c, "Unary")
				var got message0
				if err := errors.Join(s.SendMsg(&message0{Value: []byte("x")}), s.CloseSend(), s.RecvMsg(&got)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
}
