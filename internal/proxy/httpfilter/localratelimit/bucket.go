package localratelimit

import (
	"sync"
	"time"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
)

// Bucket is a token bucket: it begins full and gets PerFill tokens each Interval.
type Bucket struct {
	limit config.TokenBucket
	mu    sync.Mutex
	left  uint32
	fill  time.Time // when tokens were last added
}

// NewBucket returns a full bucket.
func NewBucket(limit config.TokenBucket, now time.Time) *Bucket {
	if limit.PerFill == 0 {
		limit.PerFill = 1
	}
	return &Bucket{limit: limit, left: limit.Max, fill: now}
}

// Take takes a token; false: none is left.
func (b *Bucket) Take(now time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.refill(now)
	if b.left == 0 {
		return false
	}
	b.left--
	return true
}

// State returns the tokens left and the time until more come.
func (b *Bucket) State(now time.Time) (left uint32, reset time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.refill(now)
	return b.left, b.limit.Interval - now.Sub(b.fill)
}

func (b *Bucket) refill(now time.Time) {
	passed := now.Sub(b.fill)
	if b.limit.Interval <= 0 || passed < b.limit.Interval {
		return
	}
	fills := passed / b.limit.Interval
	b.fill = b.fill.Add(fills * b.limit.Interval)
	missing := uint64(b.limit.Max - b.left)
	if uint64(fills) >= missing || uint64(fills)*uint64(b.limit.PerFill) >= missing {
		b.left = b.limit.Max
		return
	}
	b.left += uint32(fills) * b.limit.PerFill
}
