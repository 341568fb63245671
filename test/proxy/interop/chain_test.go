package interop

import (
	"testing"

	"github.com/pillion-mesh/pillion/test/proxy/rig"
)

// chain is two proxies in a row, as between two pods.
type chain struct{ first, second *rig.Proxy }

// links are the ways two proxies are joined.
var links = map[string]func(testing.TB, string) chain{"plaintext": plaintext, "mTLS": mutual}

// plaintext joins them by HTTP/2 without TLS; the second one speaks HTTP/2 to the backend, too.
func plaintext(t testing.TB, backend string) chain {
	second := rig.Start(t, rig.To(backend, nil, rig.HTTP2()))
	return chain{rig.Start(t, rig.To(second.Address, nil, rig.HTTP2())), second}
}

// mutual joins them by HTTP/2 over TLS with certificates on both sides.
func mutual(t testing.TB, backend string) chain {
	ca := rig.NewCA(t)
	in := rig.Listener(rig.Manager(nil, rig.ToBackend), rig.ServerTLS(ca, ca.Issue("back"), "h2", "http/1.1"))
	second := rig.Start(t, rig.Static(in, rig.Cluster("backend", rig.HTTP2(), backend)))
	out := rig.With(rig.HTTP2(), rig.ClientTLS(ca, ca.Issue("front"), "back", "h2"))
	return chain{rig.Start(t, rig.To(second.Address, nil, out)), second}
}
