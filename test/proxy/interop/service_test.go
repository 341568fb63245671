package interop

import (
	"context"
	"errors"
	"io"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	pb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/stats"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/pillion-mesh/pillion/test/proxy/rig"
)

const message16M = 16 << 20

// service is gRPC's own test service; what it sees besides its messages is told by channels.
type service struct {
	pb.UnimplementedTestServiceServer
	ended    chan error     // why the context of a call that hung ended
	deadline chan time.Time // of a call that hung; zero: it had none
	mu       sync.Mutex
	squeezed bool // a message came compressed
}

func newService() *service {
	return &service{ended: make(chan error, 16), deadline: make(chan time.Time, 16)}
}

// serveGRPC serves s on l until the test ends or the server is stopped.
func serveGRPC(t testing.TB, l net.Listener, s *service) *grpc.Server {
	g := grpc.NewServer(grpc.MaxRecvMsgSize(2*message16M), grpc.MaxSendMsgSize(2*message16M), grpc.StatsHandler(s))
	pb.RegisterTestServiceServer(g, s)
	var served sync.WaitGroup
	served.Go(func() { _ = g.Serve(l) })
	t.Cleanup(func() { g.Stop(); served.Wait() })
	return g
}

// call returns a client of the service behind address.
func call(t testing.TB, address string) pb.TestServiceClient {
	t.Helper()
	conn, err := grpc.NewClient("passthrough:"+address, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(2*message16M), grpc.MaxCallSendMsgSize(2*message16M)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return pb.NewTestServiceClient(conn)
}

// patient is a context that ends with the test at the latest.
func patient(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), rig.Patience)
	t.Cleanup(cancel)
	return ctx
}

// UnaryCall answers with as many bytes as asked for, with the metadata that came, or with a status.
func (s *service) UnaryCall(ctx context.Context, in *pb.SimpleRequest) (*pb.SimpleResponse, error) {
	md, _ := metadata.FromIncomingContext(ctx)
	back := metadata.MD{}
	for _, name := range []string{"x-plain", "x-data-bin"} {
		back[name] = md[name]
	}
	if in.GetResponseStatus() == nil { // else the answer is trailers only
		_ = grpc.SetHeader(ctx, back)
	}
	_ = grpc.SetTrailer(ctx, metadata.MD{"x-trailer": md["x-plain"], "x-trailer-bin": md["x-data-bin"]})
	if st := in.GetResponseStatus(); st != nil {
		full, err := status.New(codes.Code(st.GetCode()), st.GetMessage()).WithDetails(wrapperspb.String("detail ü"))
		if err != nil {
			return nil, err
		}
		return nil, full.Err()
	}
	return &pb.SimpleResponse{
		Payload:  &pb.Payload{Body: slices.Repeat([]byte{'a'}, int(in.GetResponseSize()))},
		Username: string(in.GetPayload().GetBody()[:min(len(in.GetPayload().GetBody()), 16)]),
	}, nil
}

// StreamingInputCall adds up.
func (s *service) StreamingInputCall(stream pb.TestService_StreamingInputCallServer) error {
	total := 0
	for {
		in, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return stream.SendAndClose(&pb.StreamingInputCallResponse{AggregatedPayloadSize: int32(total)})
		}
		if err != nil {
			return err
		}
		total += len(in.GetPayload().GetBody())
	}
}

// StreamingOutputCall sends messages of the sizes asked for. Without any it hangs.
func (s *service) StreamingOutputCall(in *pb.StreamingOutputCallRequest, stream pb.TestService_StreamingOutputCallServer) error {
	if len(in.GetResponseParameters()) == 0 {
		at, _ := stream.Context().Deadline()
		s.deadline <- at
		<-stream.Context().Done()
		s.ended <- stream.Context().Err()
		return stream.Context().Err()
	}
	return answer(stream, in)
}

func answer(stream interface {
	Send(*pb.StreamingOutputCallResponse) error
}, in *pb.StreamingOutputCallRequest,
) error {
	for _, p := range in.GetResponseParameters() {
		body := make([]byte, p.GetSize())
		copy(body, in.GetPayload().GetBody())
		if err := stream.Send(&pb.StreamingOutputCallResponse{Payload: &pb.Payload{Body: body}}); err != nil {
			return err
		}
	}
	return nil
}

// FullDuplexCall answers each message, until there are no more or one asks for a status.
func (s *service) FullDuplexCall(stream pb.TestService_FullDuplexCallServer) error {
	for {
		in, err := stream.Recv()
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			s.ended <- err
			return err
		case in.GetResponseStatus() != nil:
			return status.Error(codes.Code(in.GetResponseStatus().GetCode()), in.GetResponseStatus().GetMessage())
		}
		if err := answer(stream, in); err != nil {
			return err
		}
	}
}

// TagRPC implements stats.Handler.
func (s *service) TagRPC(ctx context.Context, _ *stats.RPCTagInfo) context.Context { return ctx }

// TagConn implements stats.Handler.
func (s *service) TagConn(ctx context.Context, _ *stats.ConnTagInfo) context.Context { return ctx }

// HandleConn implements stats.Handler.
func (s *service) HandleConn(context.Context, stats.ConnStats) {}

// HandleRPC implements stats.Handler.
func (s *service) HandleRPC(_ context.Context, r stats.RPCStats) {
	if in, ok := r.(*stats.InPayload); ok && in.CompressedLength < proto.Size(in.Payload.(proto.Message)) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.squeezed = true
	}
}

// ping is a message of n bytes that asks for one of m bytes back.
func ping(n, m int) *pb.StreamingOutputCallRequest {
	return &pb.StreamingOutputCallRequest{
		Payload:            &pb.Payload{Body: slices.Repeat([]byte{'p'}, n)},
		ResponseParameters: []*pb.ResponseParameters{{Size: int32(m)}},
	}
}
