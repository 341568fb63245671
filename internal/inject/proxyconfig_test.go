package inject

import (
	"maps"
	"slices"
	"testing"

	"github.com/pillion-mesh/pillion/internal/istio"
)

// TestProxyConfigFields: injector and agent know the same fields of a ProxyConfig.
func TestProxyConfigFields(t *testing.T) {
	if have := slices.Sorted(maps.Keys(proxyFields)); !slices.Equal(have, istio.ProxyConfigFields[:]) {
		t.Errorf("the injector knows %q\nothers know %q", have, istio.ProxyConfigFields)
	}
}
