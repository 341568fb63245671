//go:build linux

package main

import (
	"fmt"
	"io"
	"net/netip"
	"slices"
	"time"

	"github.com/pillion-mesh/pillion/internal/capture/nft"
	"github.com/pillion-mesh/pillion/internal/capture/plan"
)

// An element must be in a live set before a DNS answer leaves: the set is as large as a large mesh's when it is timed.
const (
	setSize   = 20_000
	insertBar = 1 // ms
)

// listedPlan is Listed mode with nothing listed yet.
func listedPlan() []string {
	return []string{"--mode", "listed", "--pod-ips", "10.20.0.7", "--ip-families", "ipv4", "-u", "1000"}
}

// insert prints how long one element takes, the median of runs.
func insert(w io.Writer) error {
	return inFreshNamespace(func() error {
		if err := apply(listedPlan()); err != nil {
			return err
		}
		rules, err := nft.Open()
		if err != nil {
			return err
		}
		defer func() { _ = rules.Close() }()
		if err := rules.AddElements(plan.SetVIP4, vips(0, setSize)); err != nil {
			return err
		}
		var all []time.Duration
		for i := range runs {
			d, err := timed(func() error { return rules.AddElements(plan.SetVIP4, vips(setSize+i, 1)) })
			if err != nil {
				return err
			}
			all = append(all, d)
		}
		have, err := rules.Elements(plan.SetVIP4)
		if err != nil || len(have) != setSize+runs {
			return fmt.Errorf("the set holds %d elements, want %d: %w", len(have), setSize+runs, err)
		}
		slices.Sort(all)
		_, err = fmt.Fprintf(w, "capture/set_insert ms %.3f (bar %d)\n", milliseconds(all[len(all)/2]), insertBar)
		return err
	})
}

// vips are addresses of class E, where mesh-dns takes them from.
func vips(first, count int) []plan.Element {
	list := make([]plan.Element, count)
	for i := range list {
		n := first + i
		list[i].Addr = netip.AddrFrom4([4]byte{240, byte(n >> 16), byte(n >> 8), byte(n)})
	}
	return list
}
