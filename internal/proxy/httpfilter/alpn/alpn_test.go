package alpn

import (
	"context"
	"slices"
	"testing"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
	"github.com/pillion-mesh/pillion/internal/proxy/httpfilter/filter"
	"github.com/pillion-mesh/pillion/internal/proxy/stream"
)

func TestALPN(t *testing.T) {
	f, _ := New(&config.ALPN{HTTP10: []string{"istio-http/1.0"}, HTTP11: []string{"istio-http/1.1", "http/1.1"}}, filter.Deps{})
	for i, c := range []struct {
		protocol stream.Protocol
		cluster  *config.Cluster
		want     []string
	}{
		{stream.HTTP10, nil, []string{"istio-http/1.0"}},
		{stream.HTTP11, &config.Cluster{}, []string{"istio-http/1.1", "http/1.1"}},
		{stream.HTTP11, &config.Cluster{ALPNAlone: true}, nil},
		{stream.HTTP2, nil, nil},
	} {
		x := &stream.Exchange{Protocol: c.protocol, Cluster: c.cluster}
		if reply := f.Request(context.Background(), x, nil); reply != nil || !slices.Equal(x.UpstreamALPN, c.want) {
			t.Errorf("%d: %v %+v", i, x.UpstreamALPN, reply)
		}
	}
}
