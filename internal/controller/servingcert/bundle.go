package servingcert

import (
	"bytes"
	"cmp"
	"crypto/x509"
	"slices"
	"time"
)

// pemOf are certificates as a caBundle has them: by subject, the same bytes for the same set.
func pemOf(certificates []*x509.Certificate) []byte {
	sorted := slices.SortedFunc(slices.Values(certificates), func(a, b *x509.Certificate) int {
		return cmp.Or(cmp.Compare(a.Subject.CommonName, b.Subject.CommonName), bytes.Compare(a.Raw, b.Raw))
	})
	var text []byte
	for _, c := range sorted {
		text = append(text, encodeCertificate(c)...)
	}
	return text
}

// Bundle is what every webhook entry's caBundle must be. It is nil before the Secret was first read, and when what this
// replica knows is old: a process that was stopped must not write what it knew then, and neither must a new leader what
// it knew when another one led.
func (c *Controller) Bundle() []byte {
	now := c.Now()
	if c.slept() != nil || c.Leader() && !c.leads.Load() {
		return nil
	}
	if age(now, c.looked.Load()) > max(c.Times.Settle, 2*c.Times.Look) {
		return nil
	}
	return c.bundle(now)
}

func (c *Controller) bundle(now time.Time) []byte {
	served := c.leaf.Load()
	c.mu.Lock()
	defer c.mu.Unlock()
	return pemOf(c.stored.bundle(served, now, c.Times))
}

const never = time.Duration(1<<63 - 1)

// age is how long ago that was, by the wall clock or by the time this machine was awake, whichever is more: one of them
// stands still while a machine is suspended, the other may be set back.
func age(now time.Time, then *time.Time) time.Duration {
	if then == nil {
		return never
	}
	return max(now.Sub(*then), now.Round(0).Sub(then.Round(0)))
}
