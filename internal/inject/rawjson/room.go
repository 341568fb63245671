package rawjson

// Room is memory that documents are read into one after the other, for whoever reads many. The zero Room is empty. It
// is one goroutine's.
type Room struct{ document document }

// ParseUpTo is the function of that name for a document in the room, of which there is one at a time.
func (r *Room) ParseUpTo(text string, values int) (*Value, error) {
	r.Clear()
	return r.document.parse(text, maxDepth, values)
}

// Clear ends the use of the document. Whoever still holds one of its values sees null and no text: a mistake shows at
// once, and the room holds nothing of what it was used for.
func (r *Room) Clear() {
	d := &r.document
	if d.spans = d.spans[:0]; cap(d.spans) > most {
		d.spans = nil
	}
	d.values.clear()
	d.parts.clear()
	d.members.clear()
	d.items.clear()
}

// slab is a block that is handed out in pieces: a small document is a handful of allocations.
type slab[T any] struct {
	block []T
	used  int
}

// Blocks start with some pieces, or the few there are to be, and each is twice the one before, up to most. A larger one
// is for one document.
const (
	some = 16
	most = 512
)

// cut takes n pieces of what may become so many.
func (s *slab[T]) cut(n, all int) []T {
	s.reserve(n, all)
	from := s.used
	s.used += n
	return s.block[from:s.used:s.used]
}

// reserve makes the next n pieces those of one block.
func (s *slab[T]) reserve(n, all int) {
	if n <= len(s.block)-s.used {
		return
	}
	s.block, s.used = make([]T, max(n, min(max(min(some, all), 2*len(s.block)), most))), 0
}

func (s *slab[T]) clear() {
	if len(s.block) > most {
		s.block = nil
	}
	clear(s.block[:min(s.used, len(s.block))])
	s.used = 0
}
