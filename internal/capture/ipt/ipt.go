// Package ipt programs a plan's rules with iptables-restore and reads them back with iptables-save, for kernels without
// nftables and for people who want rules other tools can list. A plan.Ruleset comes in, differences and counters come
// out; others' rules are never mentioned. It works in the network namespace of the thread that calls it. Read ipt.go,
// then save.go, compare.go and write.go; programs.go finds the programs and run.go runs them.
package ipt

import (
	"fmt"
	"slices"

	"github.com/pillion-mesh/pillion/internal/capture/nft"
	"github.com/pillion-mesh/pillion/internal/capture/plan"
	"github.com/pillion-mesh/pillion/internal/capture/text"
)

// Backend is one variant of iptables. Not safe for concurrent use.
type Backend struct {
	programs Programs
	dialect  text.Dialect
	outside  Outside
	// By family (true: IPv6), as of the last Compare.
	have    map[bool]*state
	want    map[bool]text.File
	differs map[bool]bool
	wanted  *plan.Ruleset
	report  nft.Report
	written map[bool][]string // tables Replace has just made sure of; nil: Present is to tell
}

// Outside is what the backend asks of the world.
type Outside struct {
	Run     Runner
	Present Presence
}

// Presence says which tables of each family (true: IPv6) may hold chains of ours, without running anything: most
// namespaces have none, and then no iptables-save is needed to know it.
type Presence func(Variant) (tables map[bool][]string, err error)

// New makes a backend of a variant's programs.
func New(programs Programs, dialect text.Dialect, outside Outside) *Backend {
	return &Backend{programs: programs, dialect: dialect, outside: outside}
}

// Name is the backend's name in evidence.
func (b *Backend) Name() string { return "iptables-" + string(b.programs.Variant) }

// Compare reads our chains back and holds them against want, in order. It writes nothing.
func (b *Backend) Compare(want *plan.Ruleset, _ string) (nft.Report, error) {
	b.wanted, b.have = want, map[bool]*state{}
	present, err := b.written, error(nil)
	if b.written = nil; present == nil {
		present, err = b.outside.Present(b.programs.Variant)
	}
	if err != nil {
		return nft.Report{}, b.unreadable(err)
	}
	for _, v6 := range []bool{false, true} {
		if b.have[v6], err = b.read(v6, present[v6]); err != nil {
			return nft.Report{}, err
		}
	}
	err = b.plan(b.kept(want))
	return b.report, err
}

// plan makes a plan the one that is wanted, and holds what was read against it.
func (b *Backend) plan(p *plan.Plan) (err error) {
	b.report, b.differs = nft.Report{Counters: map[string]nft.Counter{}}, map[bool]bool{}
	if b.want, err = b.files(p); err != nil {
		return err
	}
	for _, v6 := range []bool{false, true} {
		s := b.have[v6]
		b.report.Foreign = append(b.report.Foreign, s.foreign()...)
		c := &comparison{program: program(v6), have: s, counters: b.report.Counters}
		c.file(b.want[v6])
		b.report.Differences = append(b.report.Differences, c.list...)
		b.differs[v6] = len(c.list) > 0
	}
	return nil
}

// Replace makes our chains what want says, in one transaction a table and family. Counters of rules that stay go on from
// where they were read. Compare must have been called.
func (b *Backend) Replace(*plan.Ruleset, string) error {
	all := !b.differs[false] && !b.differs[true]
	for _, v6 := range []bool{false, true} {
		if !b.differs[v6] && !all {
			continue
		}
		input := b.have[v6].restore(b.want[v6])
		if input == "" {
			continue
		}
		if err := b.restore(v6, input); err != nil {
			return err
		}
	}
	b.written = map[bool][]string{false: b.tables(false), true: b.tables(true)}
	return nil
}

// tables are those of a family that hold ours after Replace, or did before.
func (b *Backend) tables(v6 bool) (names []string) {
	for _, t := range b.want[v6].Tables {
		names = append(names, t.Name)
	}
	for _, t := range b.have[v6].tables {
		if !slices.Contains(names, t.name) {
			names = append(names, t.name)
		}
	}
	return names
}

// files are a plan's rules by family; a family without any has an empty file.
func (b *Backend) files(p *plan.Plan) (map[bool]text.File, error) {
	files := map[bool]text.File{false: {}, true: {V6: true}}
	list, err := text.Files(p, b.dialect)
	for _, f := range list {
		files[f.V6] = f
	}
	return files, err
}

// unreadable says why nobody knows what is there.
func (b *Backend) unreadable(err error) error {
	if lacking := b.lacking(); lacking != nil {
		err = fmt.Errorf("%w (%w)", lacking, err)
	}
	return fmt.Errorf("looking for rules of %s: %w", b.Name(), err)
}

// read lists what is ours in a family, in the tables that may hold it.
func (b *Backend) read(v6 bool, present []string) (*state, error) {
	if len(present) == 0 {
		return &state{program: program(v6)}, nil
	}
	args := []string{"-c"}
	if len(present) == 1 {
		args = append(args, "-t", present[0])
	}
	out, err := b.outside.Run(b.programs.save(v6), args, "")
	if err != nil {
		return nil, b.classify("reading the rules of "+b.Name(), err)
	}
	s := parse(out)
	s.program = program(v6)
	return s, nil
}

// restore gives a file to iptables-restore.
func (b *Backend) restore(v6 bool, input string) error {
	_, err := b.outside.Run(b.programs.restore(v6), []string{"--noflush", "--counters", "--wait", "5"}, input)
	if err != nil {
		return b.classify("writing the rules of "+b.Name(), err)
	}
	return nil
}

func program(v6 bool) string {
	if v6 {
		return "ip6tables"
	}
	return "iptables"
}
