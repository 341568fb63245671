package capture_test

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pillion-mesh/pillion/internal/capture"
	"github.com/pillion-mesh/pillion/internal/capture/nft"
	"github.com/pillion-mesh/pillion/internal/capture/plan"
)

// kernel is a namespace that takes writes as its script says, and logs what was done to it.
type kernel struct {
	script []string // of writes: "ok", "refused", "lost" (done, but the answer is an error), "undone" (by somebody)
	right  bool     // the rules are as wanted
	six    bool     // ::6 is on lo
	log    []string
}

var errRefused = errors.New("refused")

func (k *kernel) Name() string { return "nftables" }

func (k *kernel) Compare(*plan.Ruleset, string) (nft.Report, error) {
	if k.right {
		return nft.Report{}, nil
	}
	return nft.Report{Differences: []plan.Difference{{Kind: plan.Missing, What: "rule a"}, {Kind: plan.Missing, What: "rule b"}, {Kind: plan.Missing, What: "set c"}}}, nil
}

func (k *kernel) Replace(*plan.Ruleset, string) error {
	step := "ok"
	if len(k.script) > 0 {
		step, k.script = k.script[0], k.script[1:]
	}
	k.log = append(k.log, "write "+step)
	k.right = step == "ok" || step == "lost"
	switch step {
	case "refused", "lost":
		return errRefused
	case "forbidden":
		return fmt.Errorf("writing: %w", nft.ErrPermission)
	}
	return nil
}

func (k *kernel) Addresses() ([]netip.Addr, error) {
	list := []netip.Addr{netip.MustParseAddr("10.0.0.7"), netip.MustParseAddr("fd00::7")}
	if k.six {
		list = append(list, netip.MustParseAddr("::6"))
	}
	return list, nil
}

func (k *kernel) AddToLoopback(netip.Prefix) error {
	k.six, k.log = true, append(k.log, "add ::6")
	return nil
}

func (k *kernel) RemoveFromLoopback(netip.Prefix) error {
	k.six, k.log = false, append(k.log, "remove ::6")
	return nil
}

func TestConverge(t *testing.T) {
	always := strings.Fields(strings.Repeat("undone ", 5))
	for name, c := range map[string]struct {
		kernel  kernel
		force   bool
		changed int
		fails   string
		log     []string
	}{
		"fresh":                   {changed: 3, log: []string{"add ::6", "write ok"}},
		"all is right":            {kernel: kernel{right: true, six: true}},
		"forced":                  {kernel: kernel{right: true, six: true}, force: true, log: []string{"write ok"}},
		"only the address":        {kernel: kernel{right: true}, changed: 1, log: []string{"add ::6"}},
		"lost acknowledgement":    {kernel: kernel{script: []string{"lost"}, six: true}, changed: 2, log: []string{"write lost"}},
		"refused once":            {kernel: kernel{script: []string{"refused"}, six: true}, changed: 2, log: []string{"write refused", "write ok"}},
		"undone by another":       {kernel: kernel{script: []string{"undone"}, six: true}, changed: 2, log: []string{"write undone", "write ok"}},
		"undone again and again":  {kernel: kernel{script: always, six: true}, changed: 2, fails: "another program changes table inet pillion: missing rule a", log: []string{"write undone", "write undone", "write undone", "write undone", "write undone"}},
		"another's, with address": {kernel: kernel{script: always}, changed: 2, fails: "another program changes", log: []string{"add ::6", "write undone", "write undone", "write undone", "write undone", "write undone"}},
		"not permitted":           {kernel: kernel{script: []string{"forbidden"}}, changed: 2, fails: "CAP_NET_ADMIN", log: []string{"add ::6", "write forbidden", "remove ::6"}},
		"always refused, address": {kernel: kernel{script: strings.Fields(strings.Repeat("refused ", 5))}, changed: 2, fails: "refused; nothing was changed: 3 differences from the plan remain, first: missing rule a", log: []string{"add ::6", "write refused", "write refused", "write refused", "write refused", "write refused", "remove ::6"}},
	} {
		t.Run(name, func(t *testing.T) {
			k := &c.kernel
			system := capture.System{Rules: k, Links: k, LegacyTables: func() []string { return nil }, Version: "test"}
			p, err := planOf(injected, k)
			if err != nil {
				t.Fatal(err)
			}
			result, err := system.Apply(p, c.force)
			if (err == nil) != (c.fails == "") || (err != nil && !strings.Contains(err.Error(), c.fails)) {
				t.Errorf("error %v, want %q", err, c.fails)
			}
			if result.Changed != c.changed {
				t.Errorf("%d changes, want %d", result.Changed, c.changed)
			}
			if d := cmp.Diff(c.log, k.log); d != "" {
				t.Error(d)
			}
		})
	}
}
