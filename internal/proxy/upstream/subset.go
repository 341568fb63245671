package upstream

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
	"github.com/pillion-mesh/pillion/internal/proxy/stream"
	"github.com/pillion-mesh/pillion/internal/proxy/telemetry"
)

// metadataLB is the filter metadata subsets and canaries are told in.
const metadataLB = "envoy.lb"

// subsets are balancers by metadata of hosts: a route's metadata_match leads to the hosts that have it all.
type subsets struct {
	by       map[string]*balancer // by the text of sorted keys and values
	fallback *balancer            // nil: none
	stats    *telemetry.Cluster
}

// newSubsets makes a balancer for every combination of values there is of a selector's keys.
func (c *Cluster) newSubsets(set *hostSet) *subsets {
	options := set.config.LB.Subsets
	if options == nil {
		return nil
	}
	members := map[string][]member{}
	for _, selector := range options.Selectors {
		keys := slices.Compact(slices.Sorted(slices.Values(selector)))
		inOne := map[string][]member{}
		for _, m := range set.members {
			if name, ok := subsetOf(keys, m.host.Endpoint().Metadata[metadataLB]); ok {
				inOne[name] = append(inOne[name], m)
			}
		}
		for name, of := range inOne { // another selector with the same keys gives the same members
			members[name] = of
		}
	}
	s := &subsets{by: make(map[string]*balancer, len(members)), stats: c.Stats}
	for name, of := range members {
		s.by[name] = c.balance(set, of)
	}
	s.fallback = c.subsetFallback(set, options)
	return s
}

func (c *Cluster) subsetFallback(set *hostSet, options *config.Subsets) *balancer {
	switch options.Fallback {
	case config.SubsetAny:
		return set.balancer
	case config.SubsetDefault:
		return c.balance(set, matching(set.members, options.Default))
	default:
		return nil
	}
}

func matching(members []member, want map[string]any) (found []member) {
	for _, m := range members {
		if inSubset(m.host, want) {
			found = append(found, m)
		}
	}
	return found
}

func sortedKeys(of map[string]any) []string {
	keys := make([]string, 0, len(of))
	for key := range of {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}

// subsetOf is the name of the subset that metadata is in by these keys; false: it lacks one.
func subsetOf(keys []string, metadata map[string]any) (string, bool) {
	var buf []byte
	for _, key := range keys {
		value, ok := metadata[key]
		if !ok {
			return "", false
		}
		buf = appendPair(buf, key, value)
	}
	return string(buf), true
}

// appendPair quotes key and value, so that no two different pairs look alike.
func appendPair(buf []byte, key string, value any) []byte {
	buf = append(strconv.AppendQuote(buf, key), '=')
	switch v := value.(type) {
	case string:
		buf = strconv.AppendQuote(buf, v)
	case bool:
		buf = strconv.AppendBool(buf, v)
	case float64:
		buf = strconv.AppendFloat(buf, v, 'g', -1, 64)
	default:
		buf = fmt.Appendf(buf, "%v", v) // maps are printed with sorted keys
	}
	return append(buf, ',')
}

// find returns the balancer for a route's metadata_match, or nil if there is none and no fallback.
func (s *subsets) find(match map[string]any, trace *stream.Trace) *balancer {
	if len(match) > 0 {
		keys := sortedKeys(match)
		name, _ := subsetOf(keys, match)
		if b := s.by[name]; b != nil {
			s.stats.LBSubsetsSelected.Add(1)
			if trace.On() {
				trace.Note("subset", "%s", strings.TrimSuffix(name, ","))
			}
			return b
		}
		if trace.On() {
			trace.Note("subset", "no host has %s", strings.TrimSuffix(name, ","))
		}
	}
	if trace.On() {
		trace.Note("subset", "%s", s.fallbackWord())
	}
	if s.fallback != nil {
		s.stats.LBSubsetsFallback.Add(1)
	}
	return s.fallback
}

// has reports whether h is among the hosts that a route's metadata_match leads to.
func (s *subsets) has(match map[string]any, options *config.Subsets, h *Host) bool {
	if len(match) > 0 {
		if name, _ := subsetOf(sortedKeys(match), match); s.by[name] != nil {
			return inSubset(h, match)
		}
	}
	switch options.Fallback {
	case config.SubsetAny:
		return true
	case config.SubsetDefault:
		return inSubset(h, options.Default)
	default:
		return false
	}
}

func inSubset(h *Host, want map[string]any) bool {
	keys := sortedKeys(want)
	name, _ := subsetOf(keys, want)
	got, ok := subsetOf(keys, h.Endpoint().Metadata[metadataLB])
	return ok && got == name
}

func (s *subsets) fallbackWord() string {
	if s.fallback == nil {
		return "no fallback"
	}
	return "the fallback's hosts"
}
