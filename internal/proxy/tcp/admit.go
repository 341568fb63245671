package tcp

import (
	"sync"

	"github.com/pillion-mesh/pillion/internal/proxy/stream"
)

// Admit asks the network filters before an HTTP connection manager, which is served elsewhere. With ok the connection is
// let in, and leave is called when it has ended; else it is to be closed.
func (p *Proxy) Admit(c *stream.Conn) (leave func(), ok bool) {
	if len(c.Chain.Filters) == 0 {
		return nil, true
	}
	gates := p.planOf(c.Chain).gates
	for i, g := range gates {
		if r := g.enter(c); r != nil {
			c.Termination, c.Flags = r.details, c.Flags|r.flags
			p.hold(r.delay)
			leaveAll(gates[:i])
			return nil, false
		}
	}
	if len(gates) == 0 {
		return nil, true
	}
	return sync.OnceFunc(func() { leaveAll(gates) }), true
}

func leaveAll(gates []gate) {
	for _, g := range gates {
		g.leave()
	}
}
