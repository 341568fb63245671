package mx

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/pillion-mesh/pillion/internal/proxy/stream"
)

var shop = stream.Peer{
	Workload: "shop-v1", Namespace: "ns", App: "shop", Version: "v1", CanonicalService: "shop", CanonicalRevision: "v1", Cluster: "Kubernetes",
}

// TestRound: what is framed is read again, and not a byte behind it.
func TestRound(t *testing.T) {
	for _, want := range []stream.Peer{shop, {}, {Workload: "w"}} {
		r := bytes.NewReader(append(Frame(&want, "sidecar~1.2.3.4~a.b~c"), "payload"...))
		got, err := Read(r)
		if err != nil || *got != want {
			t.Errorf("%+v: %+v, %v", want, got, err)
		}
		if rest, _ := io.ReadAll(r); string(rest) != "payload" {
			t.Errorf("left %q", rest)
		}
	}
}

// TestProtobufReads: real protobuf reads our frame, and we read its.
func TestProtobufReads(t *testing.T) {
	var envelope anypb.Any
	if err := proto.Unmarshal(Frame(&shop, "id")[header:], &envelope); err != nil {
		t.Fatal(err)
	}
	var outer structpb.Struct
	if err := envelope.UnmarshalTo(&outer); err != nil {
		t.Fatal(err)
	}
	m := outer.Fields[keyMetadata].GetStructValue().AsMap()
	labels, _ := m["LABELS"].(map[string]any)
	if outer.Fields[keyID].GetStringValue() != "id" || m["WORKLOAD_NAME"] != "shop-v1" || labels["service.istio.io/canonical-name"] != "shop" {
		t.Errorf("metadata %v", m)
	}
}

func TestReadsProtobuf(t *testing.T) {
	theirs, err := structpb.NewStruct(map[string]any{
		"NAME": "pod", "NAMESPACE": "ns", "OWNER": "kubernetes://apis/apps/v1/namespaces/ns/deployments/shop-v1", "CLUSTER_ID": "Kubernetes",
		"LABELS":      map[string]any{"app": "shop", "version": "v1", "service.istio.io/canonical-name": "shop", "service.istio.io/canonical-revision": "v1"},
		"PLATFORM":    map[string]any{"a": []any{1, true, nil}},
		"INSTANCE_IP": 3,
	})
	if err != nil {
		t.Fatal(err)
	}
	b, err := proto.Marshal(theirs)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := ParseStruct(b); err != nil || *got != shop {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestRefused(t *testing.T) {
	good := Frame(&shop, "")
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
	} {
		if _, err := Read(bytes.NewReader(c.bytes)); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

// FuzzRead: whatever comes, Read ends within what it was given, and what protobuf refuses as a Struct is refused here
// too or gives texts that can be labels.
func FuzzRead(f *testing.F) {
	f.Add(Frame(&shop, "id"))
	f.Fuzz(func(t *testing.T, b []byte) {
		peer, err := Read(bytes.NewReader(b))
		if err != nil || peer == nil {
			return
		}
		for _, text := range []string{peer.Workload, peer.Namespace, peer.App} {
			if text != strings.ToValidUTF8(text, "") {
				t.Errorf("label %q", text)
			}
		}
		again, err := Read(bytes.NewReader(Frame(peer, "")))
		if err != nil || *again != *peer {
			t.Errorf("%+v became %+v, %v", peer, again, err)
		}
	})
}
