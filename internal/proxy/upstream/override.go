package upstream

import (
	"fmt"
	"net/netip"
	"sync"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
	"github.com/pillion-mesh/pillion/internal/proxy/stream"
)

// Override is the host a request asks for, mostly one it was given before. It only chooses among the hosts there are, and
// of these among those that metadata_match leads to.
type Override struct {
	Host   string // ip:port, or the path of a Unix socket, as Host.String writes it; empty: none
	Strict bool   // no other host will do
}

// ErrNotBound is an ErrNoHost: the request is bound to a host that the cluster doesn't have.
var ErrNotBound = fmt.Errorf("%w that the request is bound to", ErrNoHost)

// hostIndex finds hosts by their address. It is made when somebody asks first: most clusters are never asked.
type hostIndex struct {
	once sync.Once
	by   map[hostKey]*Host
}

// override returns the host the choice is bound to. Neither host nor error: the balancer is to choose.
func (s *hostSet) override(choice *Choice, trace *stream.Trace) (*Host, error) {
	o := &choice.Override
	host := s.find(o.Host)
	if host != nil && s.subsets != nil && !s.subsets.has(choice.Subset, s.config.LB.Subsets, host) {
		host = nil
	}
	fits := host != nil && s.config.LB.Overridable.Has(host.told())
	if trace.On() {
		trace.Note("host", "bound to %q: found %t, its health allows it %t, strict %t", o.Host, host != nil, fits, o.Strict)
	}
	switch {
	case fits:
		return host, nil
	case !o.Strict:
		return nil, nil
	case host == nil:
		return nil, ErrNotBound
	default:
		return nil, ErrNoHost
	}
}

// find returns the host of that name, or nil.
func (s *hostSet) find(name string) *Host {
	key := hostKey{pipe: name}
	if name[0] != '/' {
		address, err := netip.ParseAddrPort(name)
		if err != nil {
			return nil
		}
		key = hostKey{address: address}
	}
	s.index.once.Do(s.makeIndex)
	return s.index.by[key]
}

func (s *hostSet) makeIndex() {
	s.index.by = make(map[hostKey]*Host, len(s.members))
	for i := range s.members {
		h := s.members[i].host
		s.index.by[hostKey{h.Address, h.Pipe}] = h
	}
}

// told is the host's health_status, unless checks or its answers told something worse.
func (h *Host) told() uint8 {
	if h.flags.Load() != 0 {
		return config.StatusUnhealthy
	}
	return h.Endpoint().Status
}
