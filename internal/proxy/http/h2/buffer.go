package h2

import "sync"

// Buffers come from pools by size, as pointers to arrays: putting one back allocates nothing.
var (
	tiny   = sync.Pool{New: func() any { return new([512]byte) }}
	small  = sync.Pool{New: func() any { return new([4 << 10]byte) }}
	medium = sync.Pool{New: func() any { return new([16 << 10]byte) }}
	large  = sync.Pool{New: func() any { return new([32 << 10]byte) }}
	huge   = sync.Pool{New: func() any { return new([96 << 10]byte) }}
)

// getBuffer returns an empty slice with room for at least n bytes.
func getBuffer(n int) []byte {
	switch {
	case n <= 512:
		return tiny.Get().(*[512]byte)[:0]
	case n <= 4<<10:
		return small.Get().(*[4 << 10]byte)[:0]
	case n <= 16<<10:
		return medium.Get().(*[16 << 10]byte)[:0]
	case n <= 32<<10:
		return large.Get().(*[32 << 10]byte)[:0]
	case n <= 96<<10:
		return huge.Get().(*[96 << 10]byte)[:0]
	}
	return make([]byte, 0, n)
}

// putBuffer gives back what getBuffer returned. Nobody may use it any more.
func putBuffer(b []byte) {
	switch cap(b) {
	case 512:
		tiny.Put((*[512]byte)(b[:512]))
	case 4 << 10:
		small.Put((*[4 << 10]byte)(b[:4<<10]))
	case 16 << 10:
		medium.Put((*[16 << 10]byte)(b[:16<<10]))
	case 32 << 10:
		large.Put((*[32 << 10]byte)(b[:32<<10]))
	case 96 << 10:
		huge.Put((*[96 << 10]byte)(b[:96<<10]))
	}
}

// grow returns b with room for n more bytes.
func grow(b []byte, n int) []byte {
	if cap(b)-len(b) >= n {
		return b
	}
	bigger := getBuffer(len(b) + n)
	bigger = append(bigger, b...)
	putBuffer(b)
	return bigger
}
