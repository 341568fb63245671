package capture

import (
	"errors"
	"fmt"

	"github.com/pillion-mesh/pillion/internal/capture/nft"
	"github.com/pillion-mesh/pillion/internal/capture/plan"
)

// Observe says how the calling thread's namespace differs from a record, and what its rules counted. It wants NET_ADMIN
// and changes nothing; version is that of the build that wrote the rules.
func Observe(r Record, version string) (_ []plan.Difference, _ Result, err error) {
	if r.Evidence.Backend != Nftables {
		return nil, Result{}, fmt.Errorf("rules of backend %s are read by pillion-capture verify, where its programs are", r.Evidence.Backend)
	}
	rules, err := nft.Open()
	if err != nil {
		return nil, Result{}, err
	}
	defer func() { err = errors.Join(err, rules.Close()) }()
	links, err := OpenLinks()
	if err != nil {
		return nil, Result{}, err
	}
	defer func() { err = errors.Join(err, links.Close()) }()
	return System{Rules: rules, Links: links, LegacyTables: LegacyTables, Version: version}.Diff(r.Plan)
}
