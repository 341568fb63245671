package extauthz

import (
	"context"
	"encoding/binary"
	"errors"
	"net/netip"
	"testing"
	"time"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	rpcstatus "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
	"github.com/pillion-mesh/pillion/internal/proxy/httpfilter/filter"
	"github.com/pillion-mesh/pillion/internal/proxy/stream"
)

// said is the service's answer in a frame.
func said(t *testing.T, m *authv3.CheckResponse) *filter.Answer {
	t.Helper()
	body, err := proto.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	a := &filter.Answer{Status: 200, Body: append([]byte{0, 0, 0, 0, 0}, body...)}
	binary.BigEndian.PutUint32(a.Body[1:], uint32(len(body)))
	a.Trailers.Add("grpc-status", "0")
	return a
}

func TestConnection(t *testing.T) {
	metadata, _ := structpb.NewStruct(map[string]any{"k": "v"})
	conn := func() *stream.Conn {
		return &stream.Conn{
			Remote: netip.MustParseAddrPort("10.1.2.3:4000"), Local: netip.MustParseAddrPort("10.9.9.9:80"), Metadata: map[string]map[string]any{"m": {"a": "b"}},
			TLS: &stream.TLS{Mutual: true, ServerName: "sni", PeerURISANs: []string{"spiffe://a/b"}},
		}
	}
	for name, c := range map[string]struct {
		answer  *authv3.CheckResponse
		allowed bool
	}{
		"allowed": {&authv3.CheckResponse{DynamicMetadata: metadata}, true},
		"denied":  {&authv3.CheckResponse{Status: &rpcstatus.Status{Code: 7}}, false},
		"gone":    {nil, false},
	} {
		var asked *filter.Call
		a := NewAsker(&config.ExtAuthz{GRPCCluster: "c", TLSSession: true, Metadata: []string{"m"}, AddHeaders: [][2]string{{"x-a", "b"}}}, func(_ context.Context, call *filter.Call) (*filter.Answer, error) {
			if asked = call; c.answer == nil {
				return nil, errors.New("gone")
			}
			return said(t, c.answer), nil
		})
		x := conn()
		allowed, err := a.Ask(context.Background(), x)
		if allowed != c.allowed || (err != nil) != (c.answer == nil) {
			t.Errorf("%s: %v %v", name, allowed, err)
		}
		if got := x.Metadata["envoy.filters.network.ext_authz"]["k"]; (got == "v") != (name == "allowed") {
			t.Errorf("%s: %v", name, x.Metadata)
		}
		q := &authv3.CheckRequest{}
		if err := proto.Unmarshal(asked.Body[5:], q); err != nil {
			t.Fatal(err)
		}
		at := q.GetAttributes()
		if at.GetSource().GetPrincipal() != "spiffe://a/b" || at.GetSource().GetAddress().GetSocketAddress().GetPortValue() != 4000 || at.GetDestination().GetAddress().GetSocketAddress().GetAddress() != "10.9.9.9" ||
			at.GetTlsSession().GetSni() != "sni" || at.GetMetadataContext().GetFilterMetadata()["m"].AsMap()["a"] != "b" || at.GetRequest() != nil || asked.Timeout != 200*time.Millisecond {
			t.Errorf("%s: asked %v, %+v", name, q, asked)
		}
	}
}
