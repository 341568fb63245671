package sidecar

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"time"

	"github.com/go-logr/logr"

	"github.com/pillion-mesh/pillion/internal/agent"
	"github.com/pillion-mesh/pillion/internal/capture"
	"github.com/pillion-mesh/pillion/internal/capture/live"
	"github.com/pillion-mesh/pillion/internal/capture/plan"
	"github.com/pillion-mesh/pillion/internal/version"
)

// armEvery is how soon after the proxy its capture begins, and again how often it is made sure of.
const armEvery = 100 * time.Millisecond

// captureSocket is where others of the sidecar fill the live sets.
const captureSocket = "capture.sock"

func newRules(s agent.Settings, log logr.Logger) *rules {
	return &rules{record: plan.RecordDefault, sockets: s.RunDir, failOpen: s.CaptureFailOpen, log: log.WithName("capture")}
}

// Keep is agent.Rules'. Injected pods have no NET_ADMIN here, and nobody else changes their rules: there's nothing to do.
func (r *rules) Keep(ctx context.Context, accepting func() bool) error {
	record, err := capture.Load(r.record)
	if err != nil || record.Plan == nil || record.Plan.Empty() {
		return nil //nolint:nilerr // without a record nothing was captured; Look says why
	}
	filled := record.Plan.LateArming || record.Plan.Mode == plan.Listed
	lack := capture.In(r.namespace, func() error { _, err := capture.Observe(record, version.Version); return err })
	if lack == nil {
		k := &keeper{rules: r, record: record, repaired: make(chan struct{}, 1)}
		return k.run(ctx, accepting, filled)
	}
	if filled {
		return fmt.Errorf("the plan of %s captures nothing unless this process fills its live sets: %w; give the container NET_ADMIN, or apply another plan", r.record, lack)
	}
	r.log.V(1).Info("Rules aren't kept", "why", lack.Error())
	return nil
}

// keeper keeps one record's plan true.
type keeper struct {
	*rules
	record   capture.Record
	repaired chan struct{} // the rules were written anew, and their live sets may be empty
}

func (k *keeper) run(ctx context.Context, accepting func() bool, filled bool) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var wait sync.WaitGroup
	fault := make(chan error, 2)
	start := func(part func(capture.System, capture.Sets) error) {
		wait.Go(func() {
			if err := capture.In(k.namespace, func() error { return k.connected(part) }); err != nil {
				fault <- err
				cancel()
			}
		})
	}
	start(func(s capture.System, _ capture.Sets) error { return s.Watch(ctx, k.record.Plan, k.report) })
	if filled {
		start(func(_ capture.System, b capture.Sets) error { return k.fill(ctx, b, accepting) })
	}
	wait.Wait()
	close(fault)
	return errors.Join(<-fault, <-fault)
}

func (k *keeper) connected(part func(capture.System, capture.Sets) error) error {
	system, rules, end, err := capture.Open(k.record, version.Version)
	if err != nil {
		return err
	}
	return errors.Join(part(system, rules), end())
}

// report logs what others changed.
func (k *keeper) report(r capture.Repair) {
	if r.Err != nil {
		k.log.Error(r.Err, "Capture's rules were changed by another program and couldn't be repaired", "differences", len(r.Found))
		return
	}
	k.log.Info("Capture's rules were changed by another program and repaired", "differences", len(r.Found), "first", r.Found[0].String())
	select {
	case k.repaired <- struct{}{}:
	default:
	}
}

// fill arms the rules when the proxy takes connections, and serves those who fill other live sets.
func (k *keeper) fill(ctx context.Context, b capture.Sets, accepting func() bool) error {
	sets := live.New(b, time.Now)
	var wait sync.WaitGroup
	defer wait.Wait()
	if k.record.Plan.Mode == plan.Listed {
		listener, err := live.Listen(filepath.Join(k.sockets, captureSocket))
		if err != nil {
			return err
		}
		wait.Go(func() { _ = sets.Serve(ctx, listener) })
	}
	wait.Go(func() { sets.Run(ctx, func(err error) { k.log.Error(err, "Live sets couldn't be swept") }) })
	return k.arm(ctx, sets, accepting)
}

// protocols are what late arming arms.
var protocols = []plan.Element{{Proto: plan.TCP}, {Proto: plan.UDP}}

// arm waits for the proxy, once: while it restarts, connections wait for it in the agent's sockets. At the end, what was
// armed stays so unless the user would rather have no proxy than no network.
func (k *keeper) arm(ctx context.Context, sets *live.Live, accepting func() bool) error {
	ticker := time.NewTicker(armEvery)
	defer ticker.Stop()
	armed := !k.record.Plan.LateArming
	for {
		select {
		case <-ctx.Done():
			if armed && k.record.Plan.LateArming && k.failOpen {
				return sets.Remove(plan.SetArmed, protocols...)
			}
			return nil
		case <-k.repaired:
			if err := sets.Restore(); err != nil {
				k.log.Error(err, "Live sets couldn't be filled again")
			}
		case <-ticker.C:
			if armed || !accepting() {
				continue
			}
			if err := sets.Add(plan.SetArmed, 0, protocols...); err != nil {
				k.log.Error(err, "Capture couldn't be armed; will try again")
				continue
			}
			armed = true
			k.log.Info("The proxy takes connections: capture is armed")
		}
	}
}
