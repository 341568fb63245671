package telemetry

import (
	"math/bits"
	"runtime"
	"sync/atomic"
)

// maxShards bounds what many cores cost in memory.
const maxShards = 16

// shards hold what every request counts, once for each core, so that cores don't fight over a cache line. Whoever
// counts says which shard by a number that stays the same for a connection; its ID spreads well. A shard is made on
// first use: most objects never need more than one.
type shards[T any] []atomic.Pointer[T]

// newShards makes room for the cores this process uses, rounded up to a power of two.
func newShards[T any]() shards[T] {
	cores := uint(min(runtime.GOMAXPROCS(0), maxShards))
	return make(shards[T], 1<<bits.Len(cores-1))
}

func (s shards[T]) at(id uint64) *T {
	place := &s[id&uint64(len(s)-1)]
	if found := place.Load(); found != nil {
		return found
	}
	place.CompareAndSwap(nil, new(T))
	return place.Load()
}

// each calls f for the shards that were made.
func (s shards[T]) each(f func(*T)) {
	for i := range s {
		if shard := s[i].Load(); shard != nil {
			f(shard)
		}
	}
}
