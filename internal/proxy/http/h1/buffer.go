package h1

import "sync"

// Sizes of the buffers that connections share. A connection holds one only while there are bytes in it.
const (
	smallSize = 16 << 10
	largeSize = 64 << 10
)

type buffer struct{ b []byte }

var (
	small = sync.Pool{New: func() any { return &buffer{make([]byte, smallSize)} }}
	large = sync.Pool{New: func() any { return &buffer{make([]byte, largeSize)} }}
)

// borrow returns a buffer of at least size bytes, or the largest there is.
func borrow(size int) *buffer {
	if size <= smallSize {
		return small.Get().(*buffer) //nolint:errcheck // the pool holds nothing else
	}
	return large.Get().(*buffer) //nolint:errcheck // the pool holds nothing else
}

// giveBack takes a buffer that nobody looks at any more; nil is none.
func giveBack(b *buffer) {
	switch {
	case b == nil:
	case len(b.b) == smallSize:
		small.Put(b)
	default:
		large.Put(b)
	}
}
