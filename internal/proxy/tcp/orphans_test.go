package tcp

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
)

// TestOrphans: a connection whose chain is removed is closed when the drain time is over, not one whose chain was changed or
// has come back meanwhile.
func TestOrphans(t *testing.T) {
	var runtime atomic.Pointer[config.Runtime]
	r := newRig(t, func(o *Options) { o.Runtime, o.CloseAfter = &runtime, time.Minute })
	listeners := func(chains ...*config.Chain) {
		runtime.Store(config.NewRuntime([]*config.Listener{{Name: "listener", Chains: chains}}, nil))
	}
	listeners(r.chain)
	client := r.dial()
	pass(t, client, r.accept())
	second := 0
	at := func(seconds int) {
		second += seconds
		r.sweepOnce(r.start.Add(time.Duration(second) * time.Second))
	}
	at(0)
	listeners()
	at(1)
	at(59)
	listeners(&config.Chain{Name: "chain", Match: config.ChainMatch{DestinationPort: 9}, TCP: &config.TCPProxy{}})
	at(2)
	at(3600)
	runtime.Store(config.NewRuntime(nil, nil))
	at(1)
	at(59)
	if got := r.store.TCPPrefix("c").DrainClose.Load(); r.Active() != 1 || got != 0 {
		t.Fatalf("closed before its time, %d counted", got)
	}
	at(1)
	r.wantLine("LR filter_chain_removed 1 0 c")
	wantClosed(t, client)
	at(1)
	if got := r.store.TCPPrefix("c").DrainClose.Load(); got != 1 {
		t.Errorf("%d counted", got)
	}
}
