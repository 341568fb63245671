package listener

import (
	"net/netip"
	"testing"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
)

func TestSelect(t *testing.T) {
	runtime := config.Static(config.Settings{})
	for _, c := range []struct{ listener, dst, want string }{
		{config.VirtualOutbound, "10.0.0.1:80", config.ChainOutboundCatchAll},
		{config.VirtualOutbound, "10.0.0.1:15006", config.ChainOutboundCatchAll},
		{config.VirtualOutbound, "[fd00::1]:15001", config.ChainOutboundBlackhole},
		{config.VirtualInbound, "10.0.0.1:8080", config.ChainInboundCatchAll},
		{config.VirtualInbound, "10.0.0.1:15006", config.ChainInboundBlackhole},
	} {
		chain := Select(runtime.Listener(c.listener), netip.MustParseAddrPort(c.dst))
		if chain.Name != c.want {
			t.Errorf("%s to %s: chain %s, want %s", c.listener, c.dst, chain.Name, c.want)
		}
		if runtime.Cluster(chain.TCP.Clusters[0].Name) == nil {
			t.Errorf("chain %s names the cluster %q, which there isn't", chain.Name, chain.TCP.Clusters[0].Name)
		}
	}
	if chain := Select(&config.Listener{}, netip.MustParseAddrPort("10.0.0.1:80")); chain != nil {
		t.Errorf("a listener without chains gives %s", chain.Name)
	}
}
