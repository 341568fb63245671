// Package capture makes a plan true in one network namespace, proves that it is, and takes it back: a *plan.Plan comes
// in, rules in the kernel and one Evidence come out. Every run converges: what is right already isn't written again.
// Read capture.go first; evidence.go and explain.go are what users see.
package capture

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/pillion-mesh/pillion/internal/capture/nft"
	"github.com/pillion-mesh/pillion/internal/capture/plan"
)

// attempts bounds how often a run reads and writes again after somebody else changed the rules in between.
const attempts = 5

// Backend programs rules into the kernel. Replace is all or nothing, and follows a Compare.
type Backend interface {
	Name() string
	Compare(want *plan.Ruleset, about string) (nft.Report, error)
	Replace(want *plan.Ruleset, about string) error
}

// Links are the addresses of the namespace's interfaces.
type Links interface {
	Addresses() ([]netip.Addr, error)
	AddToLoopback(netip.Prefix) error
	RemoveFromLoopback(netip.Prefix) error
}

// System is the namespace capture works in.
type System struct {
	Rules        Backend
	Links        Links
	Routes       Routes          // nil: no plan has TPROXY
	LegacyTables func() []string // iptables' own tables, which nftables doesn't show
	Version      string          // of this build, for the table's comment
	Backends     *Backends       // to choose Rules from; nil: Rules is the only one
	Stale        []Stale         // what was there of any backend when Rules was chosen
	Reconcile    bool            // also remove what others may have made under Istio's names
}

// Result says what a run did.
type Result struct {
	Changed  int      // rules, lists and addresses written or removed
	Foreign  []string // what others programmed that may redirect too
	Counters map[string]nft.Counter
	Warnings []string
}

// Errors that callers tell apart, besides the backend's.
var (
	ErrDiffers = errors.New("the rules differ from the plan")
	ErrFamily  = errors.New("an IP family of this namespace can't be captured")
)

// Apply makes the plan true. If nothing differs, nothing is written, unless force. An error of the kernel leaves the
// rules that were there before.
func (s System) Apply(p *plan.Plan, force bool) (Result, error) {
	missing, surplus, err := s.around(p)
	if err == nil {
		err = put(missing)
	}
	if err != nil {
		return Result{}, err
	}
	result, err := s.converge(p, force)
	if errors.Is(err, ErrDiffers) {
		return result, err // another run's rules are in force, and may need what we found missing first
	}
	if err != nil {
		return result, errors.Join(err, take(missing))
	}
	result.Changed += len(missing) + len(surplus)
	if err := take(surplus); err != nil {
		return result, err
	}
	return s.tidy(p, result)
}

// tidy takes away what other backends hold, and looks again at what is left beside us.
func (s System) tidy(p *plan.Plan, result Result) (Result, error) {
	result.Warnings = s.kept(p)
	swept, err := s.sweep(p)
	result.Changed += swept
	if err != nil || swept == 0 {
		return result, err
	}
	report, err := s.Rules.Compare(p.Rules(), s.about(p))
	result.Foreign = s.foreign(report)
	return result, err
}

// Clean removes everything Apply makes. It is safe to repeat.
func (s System) Clean() (Result, error) { return s.Apply(Nothing(), false) }

// Nothing is the plan of a clean namespace.
func Nothing() *plan.Plan {
	return &plan.Plan{Mode: plan.All, In: plan.Inbound{Via: plan.None}, Out: plan.Outbound{Via: plan.None}}
}

// Diff lists what Apply would change. It changes nothing.
func (s System) Diff(p *plan.Plan) ([]plan.Difference, Result, error) {
	report, err := s.Rules.Compare(p.Rules(), s.about(p))
	if err != nil {
		return nil, Result{}, err
	}
	missing, surplus, err := s.around(p)
	if err != nil {
		return nil, Result{}, err
	}
	all := slices.Concat(report.Differences, s.surplus(p), differences(missing, surplus))
	return all, Result{Foreign: s.foreign(report), Counters: report.Counters, Warnings: s.kept(p)}, nil
}

// converge reads, writes what differs, and reads back, until both sides agree. Reading back after an error too is what
// tells a refused transaction from a lost acknowledgement.
func (s System) converge(p *plan.Plan, force bool) (Result, error) {
	want, about := p.Rules(), s.about(p)
	var result Result
	var refused error
	var left []plan.Difference
	var before int
	var backend string
	for attempt := range attempts {
		report, err := s.Rules.Compare(want, about)
		if err != nil {
			return result, err
		}
		result.Foreign, result.Counters, left = s.foreign(report), report.Counters, report.Differences
		if len(left) == 0 && (!force || attempt > 0) {
			return result, nil
		}
		if backend != s.Rules.Name() { // a choice may turn to another one
			backend, before, result.Changed = s.Rules.Name(), len(left), countRules(left)
		}
		if refused = s.Rules.Replace(want, about); errors.Is(refused, nft.ErrPermission) {
			return result, refused
		}
	}
	if refused == nil {
		return result, fmt.Errorf("%w after writing them %d times; another program changes %s: %s", ErrDiffers, attempts, place(backend), left[0])
	}
	done := "nothing was changed"
	if len(left) < before { // iptables writes family by family
		done = "not everything was changed"
	}
	return result, fmt.Errorf("%w; %s: %d differences from the plan remain, first: %s", refused, done, len(left), left[0])
}

// place is where a backend's rules are.
func place(backend string) string {
	if backend == Nftables {
		return "table inet " + plan.TableName
	}
	return "its chains of " + backend
}

// countRules counts rules, not the chains, lists and counters that go with them; what concerns no rule counts as one.
func countRules(differences []plan.Difference) int {
	rules := len(slices.DeleteFunc(slices.Clone(differences), func(d plan.Difference) bool {
		return len(d.What) < 5 || d.What[:5] != "rule "
	}))
	return max(rules, min(len(differences), 1))
}

// about is what chain "about" says: who wrote which plan.
func (s System) about(p *plan.Plan) string {
	return fmt.Sprintf("pillion %s backend=%s plan=%s", s.Version, s.Rules.Name(), p.Fingerprint())
}

func (s System) foreign(report nft.Report) []string {
	foreign := slices.Clone(report.Foreign)
	if s.Rules.Name() == "iptables-legacy" {
		return foreign
	}
	for _, table := range s.LegacyTables() {
		foreign = append(foreign, "iptables-legacy table "+table)
	}
	return foreign
}
