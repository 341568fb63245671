package listener

import (
	"net/netip"
	"slices"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
)

// A tree holds a listener's chains by what they ask for, one level a question, in Envoy's order. The levels are maps
// and ranges of maps:
//
//	destination port → destination prefix → server name → transport protocol → application protocol
//	→ direct source prefix → source type → source prefix → source port → chain
//
// The empty value of a level is its branch for chains that don't ask.
type tree struct {
	ports map[uint16]*portBranch // 0: any
}

type portBranch struct {
	destinations ranges[nameLevel]
	needs        needs
}

type (
	nameLevel      map[string]transportLevel // lower case; ".suffix" for *.suffix
	transportLevel map[string]protocolLevel
	protocolLevel  map[string]*ranges[typeLevel] // of direct sources
	typeLevel      = [3]ranges[sourcePortLevel]  // by config.SourceType
	// sourcePortLevel is the last one.
	sourcePortLevel map[uint16]*config.Chain
)

// buildTree puts every chain in. Of two chains that ask for the same the first one stays; decoders refuse them.
func buildTree(chains []*config.Chain) tree {
	t := tree{ports: map[uint16]*portBranch{}}
	for _, chain := range chains {
		m := &chain.Match
		branch := t.ports[m.DestinationPort]
		if branch == nil {
			branch = &portBranch{}
			t.ports[m.DestinationPort] = branch
		}
		branch.needs |= needsOf(chain)
		branch.add(chain)
	}
	for _, branch := range t.ports {
		branch.seal()
	}
	return t
}

func (b *portBranch) add(chain *config.Chain) {
	for _, prefix := range orAny(chain.Match.Destinations) {
		names := b.destinations.at(prefix)
		if *names == nil {
			*names = nameLevel{}
		}
		names.add(chain)
	}
}

func (l nameLevel) add(chain *config.Chain) {
	m := &chain.Match
	for _, name := range orEmpty(m.ServerNames) {
		if len(name) > 1 && name[0] == '*' {
			name = name[1:]
		}
		transports := l[name]
		if transports == nil {
			transports = transportLevel{}
			l[name] = transports
		}
		protocols := transports[m.TransportProtocol]
		if protocols == nil {
			protocols = protocolLevel{}
			transports[m.TransportProtocol] = protocols
		}
		protocols.add(chain)
	}
}

func (l protocolLevel) add(chain *config.Chain) {
	m := &chain.Match
	for _, protocol := range orEmpty(m.ApplicationProtocols) {
		direct := l[protocol]
		if direct == nil {
			direct = &ranges[typeLevel]{}
			l[protocol] = direct
		}
		for _, prefix := range orAny(m.DirectSources) {
			addSources(direct.at(prefix), m, chain)
		}
	}
}

func addSources(l *typeLevel, m *config.ChainMatch, chain *config.Chain) {
	for _, prefix := range orAny(m.Sources) {
		ports := l[m.SourceType].at(prefix)
		if *ports == nil {
			*ports = sourcePortLevel{}
		}
		for _, port := range orZero(m.SourcePorts) {
			if (*ports)[port] == nil {
				(*ports)[port] = chain
			}
		}
	}
}

// seal orders the ranges of all levels, once they're whole.
func (b *portBranch) seal() {
	b.destinations.seal(func(names *nameLevel) {
		for _, transports := range *names {
			for _, protocols := range transports {
				for _, direct := range protocols {
					direct.seal(sealTypes)
				}
			}
		}
	})
}

func sealTypes(types *typeLevel) {
	for i := range types {
		types[i].seal(func(*sourcePortLevel) {})
	}
}

// The zero Prefix stands for "not asked".
func orAny(list []netip.Prefix) []netip.Prefix {
	if len(list) == 0 {
		return []netip.Prefix{{}}
	}
	return list
}

func orEmpty(list []string) []string {
	if len(list) == 0 {
		return []string{""}
	}
	return list
}

func orZero(list []uint16) []uint16 {
	if len(list) == 0 {
		return []uint16{0}
	}
	return list
}

// ranges finds the longest prefix an address is in. One that isn't asked for is shorter than any, even /0.
type ranges[T any] struct {
	any     *T
	found   map[netip.Prefix]*T
	v4, v6  []int // lengths there are, longest first
	entries int
}

// at returns the place of prefix, making it if needed.
func (r *ranges[T]) at(prefix netip.Prefix) *T {
	if !prefix.IsValid() {
		if r.any == nil {
			r.any = new(T)
			r.entries++
		}
		return r.any
	}
	if r.found == nil {
		r.found = map[netip.Prefix]*T{}
	}
	prefix = prefix.Masked()
	place := r.found[prefix]
	if place == nil {
		place = new(T)
		r.found[prefix] = place
		r.entries++
	}
	return place
}

func (r *ranges[T]) seal(each func(*T)) {
	if r.any != nil {
		each(r.any)
	}
	for prefix, place := range r.found {
		lengths := &r.v6
		if prefix.Addr().Is4() {
			lengths = &r.v4
		}
		if !slices.Contains(*lengths, prefix.Bits()) {
			*lengths = append(*lengths, prefix.Bits())
		}
		each(place)
	}
	descending := func(a, b int) int { return b - a }
	slices.SortFunc(r.v4, descending)
	slices.SortFunc(r.v6, descending)
}

// empty reports whether no chain is in there.
func (r *ranges[T]) empty() bool { return r.entries == 0 }

// asked reports whether any chain has a prefix.
func (r *ranges[T]) asked() bool { return len(r.found) > 0 }

// longest returns the place of the longest prefix that holds a, and that prefix (zero: not asked), or nil.
func (r *ranges[T]) longest(a netip.Addr) (*T, netip.Prefix) {
	lengths := r.v6
	if a.Is4() {
		lengths = r.v4
	}
	for _, bits := range lengths {
		prefix, err := a.Prefix(bits)
		if err != nil {
			continue
		}
		if place, ok := r.found[prefix]; ok {
			return place, prefix
		}
	}
	return r.any, netip.Prefix{}
}
