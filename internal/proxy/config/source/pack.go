package source

import (
	"runtime/debug"
	"sort"

	"github.com/pillion-mesh/pillion/internal/xdsclient"
)

const (
	// packAt is how many bytes may have come before what is loose is packed.
	packAt = 512 << 10
	// largeResponse is from how many bytes on a response is taken with little garbage beside it.
	largeResponse = 128 << 10
	sparingGC     = 25
)

// sparing has garbage collected often while a large response is decoded: what is kept of it would else lie scattered
// among garbage, in memory that can't be given back. The function it returns ends that.
func sparing(r xdsclient.Response) func() {
	size := 0
	for _, each := range r.Resources {
		size += len(each.Value)
	}
	if size < largeResponse {
		return func() {}
	}
	before := debug.SetGCPercent(sparingGC)
	return func() { debug.SetGCPercent(before) }
}

// piece is a resource's bytes on the way into a block.
type piece struct {
	entry   *entry
	version *version
	was     raw
	bytes   []byte
}

// pack deflates what came since it was called last, if that is much, in the order of dumps. Most of the work is done
// without the lock; what changes meanwhile stays loose.
func (s *Source) pack() {
	pieces := s.loosePieces()
	if len(pieces) == 0 {
		return
	}
	d, err := newDeflater()
	if err != nil {
		return // never: the level is right
	}
	in := &inflater{}
	for i := range pieces {
		pieces[i].bytes = in.bytes(pieces[i].was)
	}
	for len(pieces) > 0 {
		n, size := 0, 0
		for n < len(pieces) && (n == 0 || size+len(pieces[n].bytes) <= blockSize) {
			size += len(pieces[n].bytes)
			n++
		}
		s.store(d, pieces[:n])
		pieces = pieces[n:]
	}
}

// loosePieces finds what isn't packed, and what is in blocks that are mostly garbage by now.
func (s *Source) loosePieces() (all []piece) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.unpacked < packAt {
		return nil
	}
	s.unpacked = 0
	used := map[*block]int{}
	s.versions(func(_ *entry, v *version) { used[v.raw.block] += v.raw.size })
	s.versions(func(e *entry, v *version) {
		if b := v.raw.block; b == nil || used[b] < b.size/2 {
			all = append(all, piece{entry: e, version: v, was: v.raw})
		}
	})
	sort.Slice(all, func(i, j int) bool {
		a, b := all[i].entry, all[j].entry
		if a.kind != b.kind {
			return a.kind < b.kind
		}
		return a.name < b.name
	})
	return all
}

// versions calls do for every version there is.
func (s *Source) versions(do func(*entry, *version)) {
	for _, table := range s.tables {
		for _, e := range table {
			for _, v := range [...]*version{e.active, e.warming} {
				if v != nil {
					do(e, v)
				}
			}
		}
	}
}

// store packs pieces into one block and has their versions read it from there.
func (s *Source) store(d *deflater, pieces []piece) {
	b, err := d.block(pieces)
	if err != nil {
		return // they stay loose
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	at := 0
	for _, p := range pieces {
		p.version.raw = raw{block: b, at: at, size: p.was.size, sum: p.was.sum}
		at += p.was.size
	}
}
