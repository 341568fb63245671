package tcp

import (
	"runtime"
	"sync"
	"weak"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
	"github.com/pillion-mesh/pillion/internal/proxy/telemetry"
)

// plan is what a chain's proxy, filters and logs became: what its connections share. It lasts as long as the chain, so
// that limits go on counting over updates that leave the chain as it is.
type plan struct {
	tcp      *config.TCPProxy // nil: of an HTTP connection manager, only its gates count
	prefix   *telemetry.TCPPrefix
	logs     *telemetry.LogSet
	gates    []gate           // in the order of the filters
	istio    *telemetry.Istio // nil: no istio.stats
	tunnel   *tunnelPlan      // nil: bytes go bare
	exchange string           // the ALPN under which metadata is exchanged with clients; empty: it isn't
}

// plans are the plans of all chains somebody still uses.
type plans struct {
	mu      sync.RWMutex
	byChain map[weak.Pointer[config.Chain]]*plan
}

// planOf returns the plan of a chain, making it on first use.
func (p *Proxy) planOf(chain *config.Chain) *plan {
	key := weak.Make(chain)
	p.plans.mu.RLock()
	found := p.plans.byChain[key]
	p.plans.mu.RUnlock()
	if found != nil {
		return found
	}
	p.plans.mu.Lock()
	defer p.plans.mu.Unlock()
	if found := p.plans.byChain[key]; found != nil {
		return found
	}
	made := p.newPlan(chain)
	if p.plans.byChain == nil {
		p.plans.byChain = map[weak.Pointer[config.Chain]]*plan{}
	}
	p.plans.byChain[key] = made
	runtime.AddCleanup(chain, p.plans.forget, key)
	return made
}

// forget is called once nobody holds the chain any more.
func (p *plans) forget(key weak.Pointer[config.Chain]) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.byChain, key)
}

func (p *Proxy) planTCP(made *plan) {
	made.prefix = p.Store.TCPPrefix(made.tcp.StatPrefix)
	if t := made.tcp.Tunneling; t != nil {
		made.tunnel = newTunnelPlan(t)
	}
	if p.Logs != nil {
		made.logs = p.Logs.For(made.tcp.AccessLogs)
	}
}

// newPlan keeps nothing of the chain but what it points to.
func (p *Proxy) newPlan(chain *config.Chain) *plan {
	made := &plan{tcp: chain.TCP}
	if chain.TCP != nil {
		p.planTCP(made)
	}
	for i := range chain.Filters {
		switch c := chain.Filters[i].Config.(type) {
		case *config.IstioStats:
			made.istio = p.Store.Istio(c)
		case *config.TCPMetadataExchange:
			made.exchange = c.Protocol
		default:
			made.gates = append(made.gates, p.newGate(c))
		}
	}
	return made
}
