package http

import (
	"time"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
)

// departure is how clients are asked to go elsewhere: since when, in the wheel's time, and over how long, so that not all
// of them come to the same other place at once. 0 is at once.
type departure struct {
	since  int64
	spread uint64
}

// end is when all are to be asked.
func (d departure) end() uint64 { return uint64(d.since) + d.spread } //nolint:gosec // since isn't negative

// asks reports whether an answer at now is one that asks: the later, the likelier.
func (d departure) asks(now int64, random func() uint64) bool {
	passed := uint64(max(0, now-d.since))
	return passed >= d.spread || random()%d.spread < passed
}

// Drain asks all clients to go elsewhere, or those of inbound listeners only: answers say Connection: close, and HTTP/2
// connections are told by GOAWAY, more of them the longer it lasts, all once over has passed. HTTP/2 connections without a
// request are told at once. Who was told to be faster before, stays so.
func (e *Engine) Drain(inboundOnly bool, over time.Duration) {
	d := &departure{max(1, e.wheel.since(e.opts.Now())), uint64(max(0, over))}
	e.depart(config.Inbound, d)
	if !inboundOnly {
		e.depart(config.Outbound, d)
	}
	e.each(func(c conn) {
		if !inboundOnly || c.inbound() {
			c.drain(d.spread == 0)
		}
	})
}

func (e *Engine) depart(direction config.Direction, d *departure) {
	for {
		old := e.draining[direction].Load()
		if old != nil && old.end() <= d.end() || e.draining[direction].CompareAndSwap(old, d) {
			return
		}
	}
}

// leaving reports whether this answer is to be a connection's last.
func (e *Engine) leaving(m *manager, d config.Direction) bool {
	if left, is := e.departureOf(m, d); is {
		return e.closing.Load() || left.asks(e.wheel.now.Load(), e.opts.Random)
	}
	return false
}

// departureOf says how the connections of a manager and a direction are asked to leave, if they are.
func (e *Engine) departureOf(m *manager, d config.Direction) (departure, bool) {
	if left := e.draining[d].Load(); left != nil {
		return *left, true
	}
	if since := m.draining.Load(); since != 0 {
		return departure{since, uint64(max(0, e.opts.DrainTime))}, true
	}
	return departure{}, false
}

// orphaned reports whether a connection is to be closed because its listener or chain was removed long ago. One that was
// only changed goes on. e.mu is held.
func (e *Engine) orphaned(s *session, now int64) bool {
	since := s.m.draining.Load()
	return since != 0 && !s.cut && now-since >= int64(e.opts.CloseAfter) && !e.runtime.Keeps(s.conn.Listener, s.conn.Chain)
}

// remind is called each second: clients that make no request now wouldn't hear it else, nor those that never end theirs.
func (e *Engine) remind() {
	if e.draining[config.Inbound].Load() == nil && e.draining[config.Outbound].Load() == nil && !e.removed.Load() {
		return
	}
	now := uint64(e.wheel.now.Load()) //nolint:gosec // it isn't negative
	e.mu.Lock()
	defer e.mu.Unlock()
	leaving := false
	for c := range e.conns {
		s := c.client()
		if s == nil {
			continue
		}
		left, is := e.departureOf(s.m, s.conn.Direction)
		if leaving = leaving || is; is && s.calls.Load() > 0 {
			c.drain(now >= left.end())
		}
		if e.orphaned(s, int64(now)) { //nolint:gosec // it was one
			s.cut = true
			s.m.stats.CxDrainClose.Add(1)
			c.abort()
		}
	}
	e.removed.CompareAndSwap(true, leaving)
}
