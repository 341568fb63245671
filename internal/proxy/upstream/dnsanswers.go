package upstream

import (
	"cmp"
	"maps"
	"net/netip"
	"slices"
	"sync"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
)

// answers are the last good ones by name. They outlive a change of the cluster's configuration.
type answers struct {
	mu sync.Mutex
	by map[string][]netip.Addr
}

func (a *answers) get(name string) []netip.Addr {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.by[name]
}

func (a *answers) put(name string, found []netip.Addr) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.by[name] = found
}

// have reports whether all of these were found.
func (a *answers) have(names []string) bool {
	return !slices.ContainsFunc(names, func(name string) bool { return len(a.get(name)) == 0 })
}

// adopt takes the answers of another one, which nobody changes any more.
func (a *answers) adopt(found *answers) {
	a.mu.Lock()
	defer a.mu.Unlock()
	maps.Copy(a.by, found.by)
}

// keep forgets all but these.
func (a *answers) keep(names []string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	maps.DeleteFunc(a.by, func(name string, _ []netip.Addr) bool { return !slices.Contains(names, name) })
}

// families leaves one family, the preferred one if it is there, unless all are wanted.
func families(found []netip.Addr, o *config.DNSOptions) []netip.Addr {
	all := make([]netip.Addr, 0, len(found))
	preferred := false
	for _, a := range found {
		a = a.Unmap()
		all = append(all, a)
		preferred = preferred || a.Is4() == o.PreferV4
	}
	if o.All {
		return all
	}
	return slices.DeleteFunc(all, func(a netip.Addr) bool { return (a.Is4() == o.PreferV4) != preferred })
}

// stable orders an answer so that servers that rotate theirs don't make hosts come and go: sorted for STRICT_DNS; for
// LOGICAL_DNS the address used before stays the first as long as it is in the answer.
func (n *names) stable(found, before []netip.Addr) []netip.Addr {
	found = slices.Clone(found)
	if n.cluster.Kind == config.StrictDNS || len(found) == 0 {
		slices.SortFunc(found, netip.Addr.Compare)
		return slices.Compact(found)
	}
	first := found[0]
	if len(before) > 0 && slices.Contains(found, before[0]) {
		first = before[0]
	}
	slices.SortFunc(found, func(a, b netip.Addr) int {
		return cmp.Or(cmp.Compare(rank(a, first), rank(b, first)), a.Compare(b))
	})
	return slices.Compact(found)
}

func rank(a, first netip.Addr) int {
	if a == first {
		return 0
	}
	return 1
}
