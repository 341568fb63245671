package capture

import (
	"context"
	"errors"
	"time"

	"golang.org/x/sys/unix"

	"github.com/pillion-mesh/pillion/internal/capture/nft"
	"github.com/pillion-mesh/pillion/internal/capture/plan"
	"github.com/pillion-mesh/pillion/internal/capture/socket"
)

// Times of Watch. Whoever changes our table does it in one go; a moment later all of it can be repaired at once. With
// a program that undoes every repair there's a fight nobody wins, which needn't take up a processor and a log.
const (
	watchEvery    = 30 * time.Second // look without being told
	watchIptables = 5 * time.Second  // the kernel tells nothing of iptables' own side
	watchSettle   = 20 * time.Millisecond
	watchFight    = 2 * time.Second // the pause in a fight
	watchPatience = 20              // repairs, each within watchFight of the one before, make a fight
)

// Repair is one thing Watch found and did.
type Repair struct {
	Found  []plan.Difference // what was wrong
	Result Result
	Err    error // it couldn't be repaired: the next look tries again
}

// Watch keeps the plan true until ctx ends: it is told of every change of the rules in this namespace, looks whether
// ours are meant, and repairs them. Addresses and routes it looks after from time to time.
func (s System) Watch(ctx context.Context, p *plan.Plan, report func(Repair)) error {
	news, err := socket.Listen(unix.NETLINK_NETFILTER, unix.NFNLGRP_NFTABLES)
	if err != nil {
		return err
	}
	defer func() { _ = news.Close() }()
	every := watchEvery
	if s.Rules.Name() != "nftables" {
		every = watchIptables
	}
	var last time.Time
	row := 0 // of repairs
	for ctx.Err() == nil {
		repaired, err := s.repair(p, report)
		if err != nil {
			return err
		}
		if repaired {
			row, last = inARow(row, last), time.Now()
		}
		told, err := news.Wait(ctx, every)
		if err != nil && ctx.Err() == nil {
			return err
		}
		if told {
			pause(ctx, row)
		}
	}
	return nil
}

// inARow counts repairs that come one upon the other.
func inARow(row int, last time.Time) int {
	if time.Since(last) > 2*watchFight { // a pause of a fight, and what a slow machine adds to it
		return 1
	}
	return row + 1
}

func pause(ctx context.Context, row int) {
	settle := watchSettle
	if row > watchPatience {
		settle = watchFight
	}
	select {
	case <-ctx.Done():
	case <-time.After(settle):
	}
}

// repair compares and, if anything differs, applies and says that it did. Only what no later look can mend is an error.
func (s System) repair(p *plan.Plan, report func(Repair)) (bool, error) {
	found, _, err := s.Diff(p)
	if err == nil && len(found) == 0 {
		return false, nil
	}
	repair := Repair{Found: found, Err: err}
	if err == nil {
		repair.Result, repair.Err = s.Apply(p, false)
	}
	report(repair)
	if errors.Is(repair.Err, nft.ErrPermission) {
		return false, repair.Err
	}
	return true, nil
}
