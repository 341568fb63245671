package workload

import (
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
)

// How evictions are paced.
const (
	replacementPatience = 10 * time.Minute // that a replacement has to become ready
	backoffLeast        = 30 * time.Second // after a refusal; doubled with each, up to
	backoffMost         = 10 * time.Minute
	outcomesKept        = 10               // replacements the circuit looks back at
	outcomesBad         = outcomesKept / 2 // so many bad ones open it; after that one, until one is good
	circuitOpen         = 30 * time.Minute // or until the Injector changes
	ownerRest           = time.Hour        // that an owner is left alone whose replacement was bad
)

// pacer says when one Injector's next eviction may be, and of which owner. It is told what became of the ones before. The
// clock is a parameter; it starts nothing.
type pacer struct {
	generation int64
	next       time.Time            // no eviction before
	awaited    map[string]*awaited  // owner -> the replacement it owes
	backoff    map[string]refusal   // owner, or UID of a pod -> until when it is left alone
	ready      map[types.UID]bool   // replacements seen ready: young, but nobody waits for them
	outcomes   []bool               // of the last replacements, the newest last: whether they were good
	earned     int                  // good replacements since the start or the last bad one
	openUntil  time.Time            // of the circuit; evictions stop meanwhile
	probing    bool                 // it was open, and none was good since
	said       map[types.UID]string // pods whose eviction was only said, and of which hash
}

// awaited is a replacement to come.
type awaited struct {
	before   map[types.UID]bool     // the owner's pods at the time of the eviction
	maker    corev1.ObjectReference // who is to make it
	deadline time.Time
	seen     string // the newcomer's resourceVersion that wasn't ready
}

type refusal struct {
	until time.Time
	delay time.Duration
}

func newPacer() *pacer {
	return &pacer{awaited: map[string]*awaited{}, backoff: map[string]refusal{}, ready: map[types.UID]bool{}, said: map[types.UID]string{}}
}

// changed forgets, for another version of the Injector, what stopped the one before, and how well that did.
func (p *pacer) changed(generation int64) {
	if p.generation != generation {
		p.generation, p.outcomes, p.earned = generation, nil, 0
		p.openUntil, p.probing = time.Time{}, false
	}
}

// stopped says whether too many replacements were bad.
func (p *pacer) stopped(now time.Time) bool { return now.Before(p.openUntil) }

// bad counts the bad ones of the last replacements.
func (p *pacer) bad() int {
	return len(slices.DeleteFunc(slices.Clone(p.outcomes), func(good bool) bool { return good }))
}

// wait is how long the next eviction has to be put off; 0: not at all. One replacement is awaited at a time, and one more
// with each that was good, until they are as many as pods may be evicted in a minute. A bad one is where that begins
// anew: where none becomes ready, one owner at a time lacks a pod.
func (p *pacer) wait(now time.Time, perMinute int32) time.Duration {
	if p.stopped(now) {
		return p.openUntil.Sub(now)
	}
	if len(p.awaited) >= max(1, min(int(perMinute), 1+p.earned)) {
		return lookEvery
	}
	return max(0, p.next.Sub(now))
}

// tried counts an eviction, whatever came of it.
func (p *pacer) tried(now time.Time, perMinute int32) {
	p.next = now.Add(time.Minute / time.Duration(max(1, perMinute)))
}

// free says whether an owner's pods may be evicted.
func (p *pacer) free(owner string, now time.Time) bool {
	return p.awaited[owner] == nil && !now.Before(p.backoff[owner].until)
}

// refused leaves an owner alone, and longer each time.
func (p *pacer) refused(owner string, now time.Time) time.Duration {
	delay := max(backoffLeast, min(backoffMost, 2*p.backoff[owner].delay))
	p.backoff[owner] = refusal{until: now.Add(delay), delay: delay}
	return delay
}

// leave leaves an owner alone for the longest time: nothing is wrong, but its pods aren't to be evicted.
func (p *pacer) leave(owner string, now time.Time) {
	p.backoff[owner] = refusal{until: now.Add(backoffMost), delay: backoffMost}
}

// evicted makes an owner owe a replacement: a pod that isn't one of before.
func (p *pacer) evicted(owner string, maker corev1.ObjectReference, before map[types.UID]bool, now time.Time) {
	delete(p.backoff, owner)
	p.awaited[owner] = &awaited{before: before, maker: maker, deadline: now.Add(replacementPatience)}
}

// came ends the waiting for an owner's replacement and says whether that was one bad one too many. After a bad one the
// owner is left alone: the next would be no better, and it has lost a pod already.
func (p *pacer) came(owner string, good bool, now time.Time) (opened bool) {
	delete(p.awaited, owner)
	p.outcomes = append(p.outcomes, good)
	p.outcomes = p.outcomes[max(0, len(p.outcomes)-outcomesKept):]
	if good {
		p.earned, p.probing = p.earned+1, false
		return false
	}
	p.earned, p.backoff[owner] = 0, refusal{until: now.Add(ownerRest), delay: backoffMost}
	if p.stopped(now) || p.bad() < outcomesBad && !p.probing {
		return false
	}
	p.openUntil, p.outcomes, p.probing = now.Add(circuitOpen), nil, true
	return true
}

// gone ends the waiting for an owner that owes nothing any more.
func (p *pacer) gone(owner string) { delete(p.awaited, owner) }

// forget drops what no longer matters, given the pods there are.
func (p *pacer) forget(now time.Time, exists func(types.UID) bool) {
	for owner, r := range p.backoff {
		if now.Sub(r.until) > backoffMost {
			delete(p.backoff, owner)
		}
	}
	for uid := range p.ready {
		if !exists(uid) {
			delete(p.ready, uid)
		}
	}
	for uid := range p.said {
		if !exists(uid) {
			delete(p.said, uid)
		}
	}
}
