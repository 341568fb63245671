// Package probe proves rules by using them: it connects as the application and as the proxy would, and sees where the
// connections arrive. A plan comes in, a Result for each probe goes out. It listens on the proxy's ports itself, so it
// is for the time before the proxy starts. Everything happens on the calling thread, which decides the network
// namespace and whose user may be taken. Read probe.go, then cases.go for what is tried and race.go for how.
package probe

import (
	"fmt"
	"net/netip"
	"runtime"
	"time"

	"github.com/pillion-mesh/pillion/internal/capture/plan"
)

// Outcome says what a probe found.
type Outcome string

// NotProbed means that this process couldn't try it: Detail says why.
const (
	Passed    Outcome = "passed"
	Failed    Outcome = "failed"
	NotProbed Outcome = "not probed"
)

// Result is one probe.
type Result struct {
	Probe   string  `json:"probe"` // "out ipv4"
	Outcome Outcome `json:"outcome"`
	Detail  string  `json:"detail,omitempty"` // what was tried, and what is wrong with it
}

// String is one line for the user.
func (r Result) String() string {
	if r.Detail == "" {
		return fmt.Sprintf("probe %s: %s", r.Probe, r.Outcome)
	}
	return fmt.Sprintf("probe %s: %s: %s", r.Probe, r.Outcome, r.Detail)
}

// Options are what probes need beside the plan.
type Options struct {
	Port    uint16        // where connections arrive that nobody captures
	Timeout time.Duration // for all of them together; they run at the same time
	Own     []netip.Addr  // of this namespace
}

// Run tries the plan on the calling thread. What the plan doesn't capture isn't probed for being captured.
func Run(p *plan.Plan, o Options) []Result {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	cases := cases(p, o)
	if len(cases) == 0 {
		return nil
	}
	r := newRace(p, o)
	defer r.close()
	for _, c := range cases {
		r.start(c)
	}
	r.run(time.Now().Add(o.Timeout))
	return r.results()
}
