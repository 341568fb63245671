package hpack

import "golang.org/x/net/http2/hpack"

// entryOverhead is what an entry counts besides its text, RFC 7541 section 4.1.
const entryOverhead = 32

type entry struct{ name, value string }

func (e entry) size() uint32 { return uint32(len(e.name)+len(e.value)) + entryOverhead }

// staticTable is RFC 7541 appendix A; index 0 is unused. It is read out of x/net's decoder, so that nobody copies it.
var staticTable = readStatic()

const staticLen = 61

func readStatic() (t [staticLen + 1]entry) {
	d := hpack.NewDecoder(0, nil)
	for i := 1; i <= staticLen; i++ {
		fields, err := d.DecodeFull([]byte{0x80 | byte(i)})
		if err != nil || len(fields) != 1 {
			panic("x/net's static table has changed") // at start of the program, of every test too
		}
		t[i] = entry{fields[0].Name, fields[0].Value}
	}
	return t
}

// table is a dynamic table: a ring, the newest entry last. The zero value is empty and takes nothing in.
type table struct {
	ring  []entry // its length is a power of two
	first uint64  // number of the oldest entry, counted since the beginning
	next  uint64  // number the next entry gets
	size  uint32
	limit uint32
}

func (t *table) len() int { return int(t.next - t.first) }

// at returns the entry with a number between first and next.
func (t *table) at(number uint64) entry { return t.ring[number&uint64(len(t.ring)-1)] }

// setLimit changes the largest size, and evicts what no longer fits.
func (t *table) setLimit(n uint32) {
	t.limit = n
	t.evict(0)
}

// evict makes room for want bytes.
func (t *table) evict(want uint32) {
	for t.size+want > t.limit && t.first < t.next {
		slot := &t.ring[t.first&uint64(len(t.ring)-1)]
		t.size -= slot.size()
		*slot = entry{}
		t.first++
	}
}

// add puts e in as the newest entry. One larger than the table empties it, RFC 7541 section 4.4.
func (t *table) add(e entry) {
	if e.size() > t.limit {
		t.evict(t.limit)
		return
	}
	t.evict(e.size())
	if t.len() == len(t.ring) {
		t.grow()
	}
	t.ring[t.next&uint64(len(t.ring)-1)] = e
	t.next++
	t.size += e.size()
}

func (t *table) grow() {
	ring := make([]entry, max(8, 2*len(t.ring)))
	for n := t.first; n < t.next; n++ {
		ring[n&uint64(len(ring)-1)] = t.at(n)
	}
	t.ring = ring
}
