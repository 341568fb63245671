package peermetadata

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"reflect"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
	"github.com/pillion-mesh/pillion/internal/proxy/httpfilter/filter"
	"github.com/pillion-mesh/pillion/internal/proxy/stream"
)

var shop = filter.Self{
	Peer: stream.Peer{
		Workload: "shop-v1", Namespace: "ns", App: "shop", Version: "v1", CanonicalService: "shop", CanonicalRevision: "v1", Cluster: "c1",
	},
	NodeID: "sidecar~10.0.0.1~shop-1.ns~ns.svc", Name: "shop-1", Owner: "kubernetes://apis/apps/v1/namespaces/ns/deployments/shop-v1",
}

func header(self *filter.Self) string {
	return base64.StdEncoding.EncodeToString(EncodeStruct(Metadata(self)))
}

func TestCodecAgainstProtobuf(t *testing.T) {
	m := map[string]any{
		"s": "text", "n": 1.5, "b": true, "f": false, "null": nil, "": "empty",
		"list": []any{"a", 2.0, nil, []any{}, map[string]any{"x": "y"}}, "deep": map[string]any{"k": map[string]any{}},
	}
	reference, err := structpb.NewStruct(m)
	if err != nil {
		t.Fatal(err)
	}
	raw, _ := proto.MarshalOptions{Deterministic: true}.Marshal(reference)
	if got := EncodeStruct(m); !bytes.Equal(got, raw) {
		t.Errorf("encoded\n%x\nwant\n%x", got, raw)
	}
	if got, err := DecodeStruct(raw); err != nil || !reflect.DeepEqual(got, m) {
		t.Errorf("decoded %v, %v", got, err)
	}
	if got := Peer(Metadata(&shop)); *got != shop.Peer {
		t.Errorf("%+v", got)
	}
	if got := EncodeStruct(map[string]any{"x": 7}); len(got) != 0 {
		t.Errorf("a value of no kind is written: %x", got)
	}
}

// FuzzDecodeStruct holds that what we read protobuf reads the same way, and the other way round.
func FuzzDecodeStruct(f *testing.F) {
	f.Add(EncodeStruct(Metadata(&shop)))
	f.Add([]byte{0x0a, 0x02, 0x0a, 0x00})
	f.Fuzz(func(t *testing.T, raw []byte) {
		got, err := DecodeStruct(raw)
		if err != nil {
			return
		}
		Peer(got)
		again, err := DecodeStruct(EncodeStruct(got))
		if err != nil || fmt.Sprint(again) != fmt.Sprint(got) {
			t.Errorf("%v became %v, %v", got, again, err)
		}
		var reference structpb.Struct
		if proto.Unmarshal(EncodeStruct(got), &reference) == nil && len(reference.Fields) != len(got) {
			t.Errorf("protobuf reads %v, we wrote %v", &reference, got)
		}
	})
}

func TestDepthIsBounded(t *testing.T) {
	m := map[string]any{}
	for range 100 {
		m = map[string]any{"m": m, "l": []any{[]any{}}}
	}
	if _, err := DecodeStruct(EncodeStruct(m)); err == nil {
		t.Error("a Struct 100 levels deep is read")
	}
}

func TestExchange(t *testing.T) {
	both := config.PeerHeaders | config.PeerWorkload
	full := config.PeerMetadata{
		DownstreamDiscovery: both, UpstreamDiscovery: both, DownstreamPropagation: true, UpstreamPropagation: true, SkipExternalClusters: true,
	}
	client := filter.Self{Peer: stream.Peer{Workload: "client"}, NodeID: "them"}
	for i, c := range []struct {
		c                    config.PeerMetadata
		cluster              string
		request, response    string // peer metadata in it
		peer, up             string
		sentUp, sentDown     bool
		keptUp, keptResponse bool // what came is still there
	}{
		{full, "c", header(&client), header(&client), "client", "client", true, true, false, false},
		{full, "c", "", "", "", "host", true, false, false, false},
		{full, "c", "rubbish", "rubbish", "", "host", true, true, false, false},
		{full, config.PassthroughCluster, header(&client), "", "client", "host", false, true, false, false},
		{config.PeerMetadata{}, "c", header(&client), header(&client), "", "", false, false, true, true},
	} {
		f, _ := New(&c.c, filter.Deps{Self: shop})
		x := &stream.Exchange{Conn: &stream.Conn{}, ClusterName: c.cluster}
		x.Upstream.Endpoint = &config.Endpoint{Workload: "host;ns;svc;v2;c9"}
		if c.request != "" {
			x.Request.Fields.Add(Header, c.request)
			x.Request.Fields.Add(HeaderID, "them")
		}
		if c.response != "" {
			x.Response.Fields.Add(Header, c.response)
		}
		if reply := f.Request(context.Background(), x, nil); reply != nil {
			t.Fatalf("%+v", reply)
		}
		f.(filter.Responder).Response(x)
		if name(x.Peer) != c.peer || name(x.UpPeer) != c.up {
			t.Errorf("%d: peers %+v, %+v", i, x.Peer, x.UpPeer)
		}
		check := func(what string, fields *stream.Fields, sent, kept bool) {
			want := map[bool]string{true: header(&shop)}[sent]
			if kept {
				want = header(&client)
			}
			if got := fields.Value(Header); got != want || sent && fields.Value(HeaderID) != shop.NodeID {
				t.Errorf("%d: %s has %q, want %q", i, what, got, want)
			}
		}
		check("the request", &x.Request.Fields, c.sentUp, c.keptUp)
		check("the response", &x.Response.Fields, c.sentDown, c.keptResponse)
	}
}

func name(p *stream.Peer) string {
	if p == nil {
		return ""
	}
	return p.Workload
}

func TestWorkload(t *testing.T) {
	if got := FromWorkload("w;ns;svc;v1;c"); *got != (stream.Peer{Workload: "w", Namespace: "ns", CanonicalService: "svc", CanonicalRevision: "v1", Cluster: "c"}) {
		t.Errorf("%+v", got)
	}
	if got := FromWorkload("w"); got.Workload != "w" || FromWorkload("") != nil {
		t.Errorf("%+v", got)
	}
}

func TestCacheIsBounded(t *testing.T) {
	var c cache
	decode := func(text string) *stream.Peer { return FromWorkload(text) }
	for i := range 3 * mostPeers {
		c.get(fmt.Sprint("w;", i), decode)
		if len(c.peers) > mostPeers {
			t.Fatalf("%d are kept", len(c.peers))
		}
	}
	first := c.get("w;x", decode)
	if first != c.get("w;x", decode) {
		t.Error("decoded twice")
	}
}
