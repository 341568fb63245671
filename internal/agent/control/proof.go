package control

import (
	"net/netip"
	"sync"
)

// maxProofs bounds what is told at once: probes are made one by one.
const maxProofs = 16

// proofs are those not told yet.
type proofs struct {
	mu     sync.Mutex
	signal chan struct{}
	list   []Proof
}

// Prove tells the agent, with the next BEAT and at once, that a nonce came through capture.
func (c *Child) Prove(nonce []byte, destination netip.AddrPort) {
	p := &c.proofs
	signal := p.came()
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.list) == maxProofs {
		return
	}
	p.list = append(p.list, Proof{append([]byte(nil), nonce...), destination})
	select {
	case signal <- struct{}{}:
	default:
	}
}

// came is readable when there are some.
func (p *proofs) came() chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.signal == nil {
		p.signal = make(chan struct{}, 1)
	}
	return p.signal
}

func (p *proofs) take() []Proof {
	p.mu.Lock()
	defer p.mu.Unlock()
	list := p.list
	p.list = nil
	return list
}
