package upstream

import (
	"maps"
	"net/netip"
	"reflect"
	"slices"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
)

// hostKey is a host's identity within a cluster: an address, or the path of a Unix socket.
type hostKey struct {
	address netip.AddrPort
	pipe    string
}

// hostSet is all of a cluster's hosts at one time, ready to be picked from. It is never changed: readers may hold an old
// one as long as they like.
type hostSet struct {
	config   *config.Cluster
	from     *config.Endpoints  // nil: they aren't there yet
	changes  uint64             // the cluster's count this was made at
	fellows  *hostSet           // of the local cluster, that zones were made by; nil: they don't count
	original bool               // hosts are original destinations
	named    bool               // hosts are what requests name
	members  []member           // in the order of the configuration
	places   []*config.Locality // without their hosts
	balancer *balancer
	subsets  *subsets // nil: none are configured
	warming  bool     // hosts are in slow start: weights change with time
	index    hostIndex
}

// member is a host in a set, with all that balancers go by. There may be very many.
type member struct {
	host      *Host
	weight    float64 // with slow start
	place     uint32  // index of hostSet.places
	available availability
}

// hosts returns the set to pick from. One caller makes a new one if it is out of date; the others go on with the old one
// meanwhile.
func (c *Cluster) hosts() *hostSet {
	set := c.set.Load()
	if set != nil && set.changes == c.changes.Load() && set.from == c.endpoints(set.config) && set.fellows == c.fellows(set.config) {
		return set
	}
	if set == nil {
		return c.current()
	}
	if c.mu.TryLock() {
		defer c.mu.Unlock()
		return c.renew()
	}
	return set
}

// current returns an up to date set.
func (c *Cluster) current() *hostSet {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.renew()
}

// endpoints are the hosts as configured, or as names were resolved; nil: not there yet.
func (c *Cluster) endpoints(cfg *config.Cluster) *config.Endpoints {
	if n := c.dns.Load(); n != nil {
		return n.resolved.Load()
	}
	if cfg.Endpoints == nil {
		return nil
	}
	return cfg.Endpoints.Load()
}

// renew makes the set anew if it is out of date. c.mu is held.
func (c *Cluster) renew() *hostSet {
	old, cfg := c.set.Load(), c.Config()
	changes, from, fellows := c.changes.Load(), c.endpoints(cfg), c.fellows(cfg)
	if old != nil && (c.removed || old.changes == changes && old.from == from && old.fellows == fellows) {
		return old
	}
	set := &hostSet{
		config: cfg, from: from, changes: changes, fellows: fellows, original: cfg.Kind == config.OriginalDst,
		named: cfg.Kind == config.DynamicForward, balancer: &balancer{},
	}
	if from != nil {
		c.fill(set, old)
	}
	c.set.Store(set)
	c.count(set)
	c.checkHosts()
	return set
}

// fill makes members of endpoints. Hosts that were there before are found in the old set, mostly at the same place: a
// look into the map costs more than all else.
func (c *Cluster) fill(set, old *hostSet) {
	f := filler{cluster: c, set: set}
	var oldPlaces []*config.Locality
	if old != nil {
		f.old, oldPlaces = old.members, old.places
	}
	set.members = make([]member, 0, size(set.from))
	set.places = placesOf(set.from, oldPlaces)
	f.samePlaces = slices.Equal(set.places, oldPlaces)
	c.updates++
	for i := range set.from.Localities {
		for _, endpoint := range set.from.Localities[i].Hosts {
			f.add(endpoint, uint32(i))
		}
	}
	if f.added+c.dropUnmarked(f.old, len(set.members)) > 0 {
		c.Stats.MembershipChange.Add(1)
	}
	set.balancer = c.balance(set, set.members)
	set.subsets = c.newSubsets(set)
}

// placesOf copies localities without their hosts, and takes the old copy where it says the same: hosts then needn't be
// told, and nobody holds endpoints that are no more.
func placesOf(from *config.Endpoints, old []*config.Locality) []*config.Locality {
	places := make([]*config.Locality, len(from.Localities))
	for i := range from.Localities {
		l := &from.Localities[i]
		if i < len(old) && sameLocality(l, old[i]) {
			places[i] = old[i]
			continue
		}
		places[i] = &config.Locality{Region: l.Region, Zone: l.Zone, SubZone: l.SubZone, Priority: l.Priority, Weight: l.Weight}
	}
	return places
}

func sameLocality(a, b *config.Locality) bool {
	return a.Priority == b.Priority && a.Weight == b.Weight && a.Region == b.Region && a.Zone == b.Zone && a.SubZone == b.SubZone
}

func size(e *config.Endpoints) (n int) {
	for i := range e.Localities {
		n += len(e.Localities[i].Hosts)
	}
	return n
}

// filler walks through new endpoints and the old members side by side.
type filler struct {
	cluster *Cluster
	set     *hostSet
	old     []member
	at      int // in old
	added   int
	// samePlaces says that hosts whose place is the same have the same locality.
	samePlaces bool
}

func (f *filler) add(endpoint *config.Endpoint, place uint32) {
	if !endpoint.Address.IsValid() && endpoint.Pipe == "" {
		return // a name nobody looks up
	}
	host := f.find(endpoint)
	if host.mark == f.cluster.updates {
		return // the same address again: the first one counts
	}
	host.mark = f.cluster.updates
	if host.endpoint.Load() != endpoint {
		host.endpoint.Store(endpoint)
	}
	if !f.samePlaces || f.at == 0 || f.old[f.at-1].host != host || f.old[f.at-1].place != place {
		host.locality.Store(f.set.places[place])
	}
	f.set.members = append(f.set.members, member{
		host: host, place: place, available: host.available(endpoint), weight: f.cluster.weight(f.set, host, endpoint),
	})
}

// find returns the host of an endpoint, a new one if there was none.
func (f *filler) find(endpoint *config.Endpoint) *Host {
	if endpoint.Pipe == "" && f.at < len(f.old) {
		host := f.old[f.at].host
		if host.Address == endpoint.Address && !host.gone.Load() && sameTransport(host.match, endpoint.TLSMatch) {
			f.at++
			return host
		}
	}
	return f.findKey(hostKey{endpoint.Address, endpoint.Pipe}, endpoint)
}

func (f *filler) findKey(key hostKey, endpoint *config.Endpoint) *Host {
	c := f.cluster
	host := c.known[key]
	switch {
	case host == nil:
		host = c.newHost(key)
		f.added++
	case host.mark != c.updates && !sameTransport(host.match, endpoint.TLSMatch):
		c.retire(host)
		host = host.successor()
	default:
		f.at = f.after(host)
		return host
	}
	host.match = endpoint.TLSMatch
	c.known[key] = host
	return host
}

// after guesses where the old neighbour of host stands, so that one host more or less doesn't put all others to the map.
func (f *filler) after(host *Host) int {
	for i := f.at; i < min(f.at+8, len(f.old)); i++ {
		if f.old[i].host == host {
			return i + 1
		}
	}
	return f.at
}

// sameTransport reports whether connections for one transport socket match do for the other.
func sameTransport(a, b map[string]string) bool { return sameMap(a, b) || maps.Equal(a, b) }

// sameMap reports whether both are one map: decoders share those that say the same.
func sameMap(a, b map[string]string) bool {
	return reflect.ValueOf(a).UnsafePointer() == reflect.ValueOf(b).UnsafePointer()
}

// dropUnmarked lets the hosts go that the last update didn't have, and returns how many.
func (c *Cluster) dropUnmarked(old []member, kept int) int {
	before := len(c.known)
	for i := 0; i < len(old) && len(c.known) > kept; i++ {
		if host := old[i].host; host.mark != c.updates && !host.gone.Load() {
			c.drop(host)
		}
	}
	if len(c.known) > kept { // hosts of another configuration have successors that aren't in the old set
		for _, host := range c.known {
			if host.mark != c.updates {
				c.drop(host)
			}
		}
	}
	return before - len(c.known)
}

func (c *Cluster) drop(h *Host) {
	delete(c.known, hostKey{h.Address, h.Pipe})
	c.retire(h)
}

func (c *Cluster) newHost(key hostKey) *Host {
	h := &Host{Address: key.address, Pipe: key.pipe, cluster: c, since: c.manager.opts.Now()}
	if len(c.Config().Checks) > 0 {
		h.set(pendingActive)
	}
	return h
}

// successor is a host for the same address, with the counters and the health of h but none of its connections.
func (h *Host) successor() *Host {
	next := &Host{Address: h.Address, Pipe: h.Pipe, cluster: h.cluster, since: h.since, match: h.match}
	next.endpoint.Store(h.endpoint.Load())
	next.locality.Store(h.locality.Load())
	next.flags.Store(h.flags.Load())
	next.outlier.Store(h.outlier.Load())
	for _, pair := range [][2]*counter{
		{&next.Stats.CxTotal, &h.Stats.CxTotal}, {&next.Stats.CxConnectFail, &h.Stats.CxConnectFail},
		{&next.Stats.RqTotal, &h.Stats.RqTotal}, {&next.Stats.RqSuccess, &h.Stats.RqSuccess},
		{&next.Stats.RqError, &h.Stats.RqError}, {&next.Stats.RqTimeout, &h.Stats.RqTimeout},
	} {
		pair[0].Store(pair[1].Load())
	}
	return next
}

// count brings the gauges of the cluster's members up to date.
func (c *Cluster) count(set *hostSet) {
	var n [4]int64
	for i := range set.members {
		n[set.members[i].available]++
	}
	c.Stats.MembershipTotal.Store(int64(len(set.members)))
	c.Stats.MembershipHealthy.Store(n[healthy])
	c.Stats.MembershipDegraded.Store(n[degraded])
	c.Stats.MembershipExcluded.Store(n[leftOut])
	if c.checks != nil {
		c.Stats.Health.Healthy.Store(n[healthy])
		c.Stats.Health.Degraded.Store(n[degraded])
	}
}
