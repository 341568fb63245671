package servingcert

import (
	"crypto/x509"
	"time"
)

// action is what to do about the Secret.
type action string

const (
	adopt   action = "adopt"   // take what the Secret says
	create  action = "create"  // no Secret, nothing in memory: a new CA
	restore action = "restore" // write memory's CA back: nobody notices
	renew   action = "renew"   // nothing usable anywhere: a new CA replaces the old
	wait    action = "wait"    // another replica's turn
)

// found is what a read of the Secret gave.
type found struct {
	exists   bool
	stored   stored
	fault    error             // why stored.Active is nil
	salvaged *x509.Certificate // active's certificate without a key to it
}

// plan is the table of certificates outside the normal rotation. Signing and serving need no Lease; changing the Secret
// does, but for its first creation, so that a new installation works before it has a leader.
func plan(memory *pair, f found, leader bool, now time.Time) action {
	usable := f.stored.Active != nil && validAt(f.stored.Active.Cert, now)
	remembered := memory != nil && validAt(memory.Cert, now)
	switch {
	case usable:
		return adopt
	case !f.exists && !remembered:
		return create
	case !leader:
		return wait
	case remembered:
		return restore
	default:
		return renew
	}
}
