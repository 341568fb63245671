package h2

// closedRing remembers how the latest streams ended: frames that were on their way to one we reset are no error, frames
// to one the peer ended are.
type closedRing struct {
	ids  []uint32 // the highest bit: we reset it
	next int
}

const closedLen = 64

const oursBit = 1 << 31

func (r *closedRing) add(id uint32, ours bool) {
	if ours {
		id |= oursBit
	}
	if len(r.ids) < closedLen {
		r.ids = append(r.ids, id)
		return
	}
	r.ids[r.next] = id
	r.next = (r.next + 1) % closedLen
}

// find tells whether id is remembered, and whether we reset it.
func (r *closedRing) find(id uint32) (there, ours bool) {
	for _, v := range r.ids {
		if v&^oursBit == id {
			return true, v&oursBit != 0
		}
	}
	return false, false
}

// full reports whether something may have been forgotten.
func (r *closedRing) full() bool { return len(r.ids) == closedLen }
