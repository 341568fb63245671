package mx

import (
	"bytes"
	"errors"
	"io"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/pillion-mesh/pillion/internal/proxy/httpfilter/filter"
	"github.com/pillion-mesh/pillion/internal/proxy/stream"
)

var shop = filter.Self{NodeID: "sidecar~1.2.3.4~a.b~c", Peer: stream.Peer{
	Workload: "shop-v1", Namespace: "ns", App: "shop", Version: "v1", CanonicalService: "shop", CanonicalRevision: "v1", Cluster: "Kubernetes",
}}

// TestRound: what is framed is read again, and not a byte behind it.
func TestRound(t *testing.T) {
	for _, want := range []filter.Self{shop, {}, {Peer: stream.Peer{Workload: "w"}}} {
		r := bytes.NewReader(append(Frame(&want), "payload"...))
		got, err := Read(r)
		if err != nil || *got != want.Peer {
			t.Errorf("%+v: %+v, %v", want, got, err)
		}
		if rest, _ := io.ReadAll(r); string(rest) != "payload" {
			t.Errorf("left %q", rest)
		}
	}
}

// TestProtobufReads: real protobuf reads our frame.
func TestProtobufReads(t *testing.T) {
	var envelope anypb.Any
	if err := proto.Unmarshal(Frame(&shop)[header:], &envelope); err != nil {
		t.Fatal(err)
	}
	var outer structpb.Struct
	if err := envelope.UnmarshalTo(&outer); err != nil {
		t.Fatal(err)
	}
	m := outer.Fields["x-envoy-peer-metadata"].GetStructValue().AsMap()
	labels, _ := m["LABELS"].(map[string]any)
	if outer.Fields["x-envoy-peer-metadata-id"].GetStringValue() != shop.NodeID || m["WORKLOAD_NAME"] != "shop-v1" ||
		labels["service.istio.io/canonical-name"] != "shop" {
		t.Errorf("metadata %v", m)
	}
}

// frameOf is a frame as real protobuf writes it.
func frameOf(t *testing.T, content map[string]any) []byte {
	s, err := structpb.NewStruct(content)
	if err != nil {
		t.Fatal(err)
	}
	envelope, err := anypb.New(s)
	if err != nil {
		t.Fatal(err)
	}
	b, err := proto.Marshal(envelope)
	if err != nil {
		t.Fatal(err)
	}
	return append([]byte{0x3D, 0x23, 0x04, 0x67, 0, 0, byte(len(b) >> 8), byte(len(b))}, b...)
}

func TestReadsProtobuf(t *testing.T) {
	theirs := frameOf(t, map[string]any{"x-envoy-peer-metadata": map[string]any{
		"NAME": "pod", "NAMESPACE": "ns", "WORKLOAD_NAME": "shop-v1", "CLUSTER_ID": "Kubernetes",
		"LABELS":   map[string]any{"app": "shop", "version": "v1", "service.istio.io/canonical-name": "shop", "service.istio.io/canonical-revision": "v1"},
		"PLATFORM": map[string]any{"a": []any{1, true, nil}},
	}})
	if got, err := Read(bytes.NewReader(theirs)); err != nil || *got != shop.Peer {
		t.Errorf("%+v, %v", got, err)
	}
	nothing := frameOf(t, map[string]any{"else": 1})
	if got, err := Read(bytes.NewReader(nothing)); err != nil || got != nil {
		t.Errorf("of nothing: %+v, %v", got, err)
	}
}

func TestRefused(t *testing.T) {
	good := Frame(&shop)
	for _, c := range []struct {
		name  string
		bytes []byte
		want  error
	}{
		{"HTTP", []byte("GET / HTTP/1.1\r\n"), ErrMagic},
		{"64 KiB and one", []byte{0x3D, 0x23, 0x04, 0x67, 0, 1, 0, 1}, ErrTooLong},
		{"cut off", good[:len(good)-1], io.ErrUnexpectedEOF},
		{"not protobuf", append(bytes.Clone(good[:4]), 0, 0, 0, 2, 0xff, 0xff), ErrMalformed},
		{"length beyond the end", append(bytes.Clone(good[:4]), 0, 0, 0, 2, 0x12, 0x7f), ErrMalformed},
		{"no Struct inside", append(bytes.Clone(good[:4]), 0, 0, 0, 3, 0x12, 1, 0xff), ErrMalformed},
	} {
		if _, err := Read(bytes.NewReader(c.bytes)); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

// FuzzRead: whatever comes, Read ends within what it was given, and what it understood it can say again.
func FuzzRead(f *testing.F) {
	f.Add(Frame(&shop))
	f.Fuzz(func(t *testing.T, b []byte) {
		peer, err := Read(bytes.NewReader(b))
		if err != nil || peer == nil {
			return
		}
		again, err := Read(bytes.NewReader(Frame(&filter.Self{Peer: *peer})))
		if err != nil || *again != *peer {
			t.Errorf("%+v became %+v, %v", peer, again, err)
		}
	})
}
