package capture

import (
	"errors"
	"fmt"

	"github.com/pillion-mesh/pillion/internal/capture/nft"
	"github.com/pillion-mesh/pillion/internal/capture/plan"
)

// Observation is what the kernel holds of what a record says.
type Observation struct {
	Differences []plan.Difference
	Counters    map[string]nft.Counter // by rule id
	Elements    map[string]int         // of live sets
}

// Open connects to the calling thread's namespace to look after what a record says; version is that of the build that
// wrote the rules. What comes back first belongs to one goroutine.
func Open(r Record, version string) (System, *nft.Backend, func() error, error) {
	if r.Evidence.Backend != Nftables {
		return System{}, nil, nil, fmt.Errorf("rules of backend %s are read by pillion-capture verify, where its programs are", r.Evidence.Backend)
	}
	rules, err := nft.Open()
	if err != nil {
		return System{}, nil, nil, err
	}
	links, err := OpenLinks()
	if err != nil {
		return System{}, nil, nil, errors.Join(err, rules.Close())
	}
	end := func() error { return errors.Join(rules.Close(), links.Close()) }
	return System{Rules: rules, Links: links, LegacyTables: LegacyTables, Version: version}, rules, end, nil
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
