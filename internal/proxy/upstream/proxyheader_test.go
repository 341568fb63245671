package upstream

import (
	"net/netip"
	"reflect"
	"testing"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
	"github.com/pillion-mesh/pillion/internal/proxy/stream"
)

func TestHeaderBytes(t *testing.T) {
	who := &stream.Conn{
		Remote: netip.MustParseAddrPort("192.0.2.1:258"), Local: netip.MustParseAddrPort("192.0.2.2:80"),
		TLVs: []stream.TLV{{Type: 1, Value: []byte("h2")}, {Type: 0xe0, Value: []byte("z")}},
	}
	const (
		signature = "\r\n\r\n\x00\r\nQUIT\n"
		addresses = "\xc0\x00\x02\x01\xc0\x00\x02\x02\x01\x02\x00\x50"
	)
	for name, c := range map[string]struct {
		header config.ProxyHeader
		who    *stream.Conn
		want   string
	}{
		"version 1":       {config.ProxyHeader{}, who, "PROXY TCP4 192.0.2.1 192.0.2.2 258 80\r\n"},
		"1 for itself":    {config.ProxyHeader{}, nil, "PROXY UNKNOWN\r\n"},
		"2 for itself":    {config.ProxyHeader{V2: true}, nil, signature + "\x20\x00\x00\x00"},
		"version 2":       {config.ProxyHeader{V2: true}, who, signature + "\x21\x11\x00\x0c" + addresses},
		"all pass":        {config.ProxyHeader{V2: true, Pass: &config.TLVPass{All: true}}, who, signature + "\x21\x11\x00\x15" + addresses + "\x01\x00\x02h2\xe0\x00\x01z"},
		"one passes":      {config.ProxyHeader{V2: true, Pass: &config.TLVPass{Types: []byte{0xe0}}}, who, signature + "\x21\x11\x00\x10" + addresses + "\xe0\x00\x01z"},
		"the added count": {config.ProxyHeader{V2: true, Pass: &config.TLVPass{All: true}, Added: []config.ProxyTLV{{Type: 1, Value: []byte("own")}}}, who, signature + "\x21\x11\x00\x16" + addresses + "\xe0\x00\x01z\x01\x00\x03own"},
	} {
		if got, err := HeaderBytes(&c.header, c.who); string(got) != c.want || err != nil {
			t.Errorf("%s: %q, %v, want %q", name, got, err, c.want)
		}
	}
	long := &config.ProxyHeader{V2: true, Added: []config.ProxyTLV{{Value: make([]byte, 40<<10)}, {Value: make([]byte, 40<<10)}}}
	if _, err := HeaderBytes(long, who); err == nil {
		t.Error("too long a header was made")
	}
}

// TestHeaderOf: what an endpoint adds counts instead of the cluster's TLVs of the same types, and without a header of the
// cluster's there is none.
func TestHeaderOf(t *testing.T) {
	tlv := func(kind byte, value string) config.ProxyTLV {
		return config.ProxyTLV{Type: kind, Value: []byte(value)}
	}
	endpoint := &config.Endpoint{Header: &config.ProxyHeader{Added: []config.ProxyTLV{tlv(1, "host"), tlv(2, "host")}}}
	cluster := &config.Cluster{Header: &config.ProxyHeader{V2: true, Added: []config.ProxyTLV{tlv(2, "cluster"), tlv(3, "cluster")}}}
	want := []config.ProxyTLV{tlv(1, "host"), tlv(2, "host"), tlv(3, "cluster")}
	if got := HeaderOf(cluster, endpoint); !got.V2 || !reflect.DeepEqual(got.Added, want) {
		t.Errorf("%+v", got)
	}
	if got := HeaderOf(cluster, &config.Endpoint{}); got != cluster.Header || len(endpoint.Header.Added) != 2 {
		t.Errorf("%+v, and %+v", got, endpoint.Header)
	}
	if got := HeaderOf(&config.Cluster{}, endpoint); got != nil {
		t.Errorf("%+v of no header", got)
	}
}
