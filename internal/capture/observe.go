package capture

import (
	"errors"
	"fmt"
	"strings"

	"github.com/pillion-mesh/pillion/internal/capture/ipt"
	"github.com/pillion-mesh/pillion/internal/capture/live"
	"github.com/pillion-mesh/pillion/internal/capture/nft"
	"github.com/pillion-mesh/pillion/internal/capture/plan"
	"github.com/pillion-mesh/pillion/internal/capture/text"
)

// Observation is what the kernel holds of what a record says.
type Observation struct {
	Differences []plan.Difference
	Counters    map[string]nft.Counter // by rule id
	Elements    map[string]int         // of live sets
}

// Sets are the live sets of rules in force.
type Sets interface {
	live.Sets
	Elements(set string) ([]plan.Element, error)
}

// Open connects to the calling thread's namespace to look after what a record says; version is that of the build that
// wrote the rules. What comes back first belongs to one goroutine.
func Open(r Record, version string) (System, Sets, func() error, error) {
	rules, end, err := openRules(r)
	if err != nil {
		return System{}, nil, nil, err
	}
	links, err := OpenLinks()
	if err != nil {
		return System{}, nil, nil, errors.Join(err, end())
	}
	both := func() error { return errors.Join(end(), links.Close()) }
	return System{Rules: rules, Links: links, LegacyTables: LegacyTables, Version: version}, rules, both, nil
}

// setBackend is a backend with its live sets.
type setBackend interface {
	Backend
	Sets
}

// openRules opens the backend that a record names. iptables' programs may be missing in another container than the one
// that wrote the rules.
func openRules(r Record) (setBackend, func() error, error) {
	if r.Evidence.Backend == Nftables {
		rules, err := nft.Open()
		if err != nil {
			return nil, nil, err
		}
		return rules, rules.Close, nil
	}
	variant, known := strings.CutPrefix(r.Evidence.Backend, Iptables+"-")
	if !known {
		return nil, nil, fmt.Errorf("the record's backend is %q; want nftables, iptables-nft or iptables-legacy", r.Evidence.Backend)
	}
	programs, err := ipt.Find(ipt.Variant(variant), ipt.Dirs())
	if err != nil {
		return nil, nil, err
	}
	dialect := text.Dialect(r.Evidence.Dialect)
	if dialect == "" {
		dialect = text.Pillion
	}
	rules := ipt.New(programs, dialect, ipt.Outside{Run: ipt.Exec(false), Present: ipt.Present})
	_, err = rules.Compare(r.Plan.Rules(), "") // it knows then what its live sets belong to
	return rules, func() error { return nil }, err
}

// Observe wants NET_ADMIN and changes nothing.
func Observe(r Record, version string) (_ Observation, err error) {
	system, rules, end, err := Open(r, version)
	if err != nil {
		return Observation{}, err
	}
	defer func() { err = errors.Join(err, end()) }()
	differences, result, err := system.Diff(r.Plan)
	if err != nil {
		return Observation{}, err
	}
	o := Observation{Differences: differences, Counters: result.Counters, Elements: map[string]int{}}
	for _, set := range r.Plan.Rules().Sets {
		if !set.Live {
			continue
		}
		elements, err := rules.Elements(set.Name)
		if err == nil { // one that is missing is a difference already
			o.Elements[set.Name] = len(elements)
		}
	}
	return o, nil
}
