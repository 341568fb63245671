package upstream

import (
	"net/netip"
	"time"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
	"github.com/pillion-mesh/pillion/internal/proxy/stream"
)

const (
	// maxOriginals bounds how many destinations a cluster remembers; others are dialled all the same.
	maxOriginals          = 16384
	defaultCleanup        = 5 * time.Second
	defaultOriginalHeader = "x-envoy-original-dst-host"
)

// originals are the hosts of an ORIGINAL_DST cluster: the destinations connections had lately. They are under Cluster.mu.
type originals struct {
	hosts map[hostKey]*Host
	swept time.Time
}

// OriginalDst returns where a request to an ORIGINAL_DST cluster goes: where the connection was going, or what a header
// says if the cluster is configured so. header looks a header up by its name in lower case; nil: there are none.
func (c *Cluster) OriginalDst(connection netip.AddrPort, header func(name string) (string, bool)) netip.AddrPort {
	options := &c.Config().OriginalDst
	if !options.UseHeader || header == nil {
		return connection
	}
	name := options.Header
	if name == "" {
		name = defaultOriginalHeader
	}
	text, ok := header(name)
	if !ok {
		return connection
	}
	to, err := netip.ParseAddrPort(text)
	if err != nil {
		c.Stats.OriginalDstInvalid.Add(1)
		return netip.AddrPort{}
	}
	return to
}

// pickOriginal returns the host for the choice's original destination.
func (c *Cluster) pickOriginal(choice *Choice, trace *stream.Trace) (*Host, error) {
	to := choice.OriginalDst
	if !to.IsValid() {
		if trace.On() {
			trace.Note("host", "none: no original destination is known")
		}
		c.Stats.CxNoneHealthy.Add(1)
		return nil, ErrNoHost
	}
	to = netip.AddrPortFrom(to.Addr().Unmap(), to.Port())
	if port := c.Config().OriginalDst.PortOverride; port != 0 {
		to = netip.AddrPortFrom(to.Addr(), port)
	}
	if o := &choice.Override; o.Strict && o.Host != "" && o.Host != to.String() {
		return nil, ErrNotBound // who it is bound to is none of the cluster's hosts: they are original destinations
	}
	if trace.On() {
		trace.Note("host", "%s, the original destination", to)
	}
	return c.original(hostKey{address: to}), nil
}

func (c *Cluster) original(key hostKey) *Host {
	c.mu.Lock()
	defer c.mu.Unlock()
	host := c.originals.hosts[key]
	if host == nil {
		host = c.newOriginal(key)
	}
	host.mark = c.updates // it was used since the last sweep
	return host
}

func (c *Cluster) newOriginal(key hostKey) *Host {
	host := &Host{Address: key.address, cluster: c}
	host.endpoint.Store(&config.Endpoint{Address: key.address})
	host.locality.Store(&config.Locality{})
	if c.removed || len(c.originals.hosts) >= maxOriginals {
		host.gone.Store(true) // used once, and nothing of it is kept
		return host
	}
	if c.originals.hosts == nil {
		c.originals.hosts = map[hostKey]*Host{}
	}
	c.originals.hosts[key] = host
	c.Stats.MembershipTotal.Store(int64(len(c.originals.hosts)))
	c.Stats.MembershipHealthy.Store(int64(len(c.originals.hosts)))
	return host
}

// tickOriginals forgets destinations that weren't picked for a whole cleanup interval and have nothing under way.
func (c *Cluster) tickOriginals(now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	interval := c.Config().OriginalDst.CleanupInterval
	if interval <= 0 {
		interval = defaultCleanup
	}
	if len(c.originals.hosts) == 0 || now.Sub(c.originals.swept) < interval {
		return
	}
	c.originals.swept = now
	for key, host := range c.originals.hosts {
		if host.mark != c.updates && host.Active.Load() == 0 && host.Stats.CxActive.Load() == 0 {
			delete(c.originals.hosts, key)
			c.retire(host)
		}
	}
	c.updates++
	c.Stats.MembershipTotal.Store(int64(len(c.originals.hosts)))
	c.Stats.MembershipHealthy.Store(int64(len(c.originals.hosts)))
}
