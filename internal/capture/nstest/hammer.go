//go:build linux

package nstest

import (
	"fmt"
	"time"
)

// Tally is what a client that connects without pause saw.
type Tally struct {
	Connections int
	Escaped     int // arrived at another port than they had to
	Failed      int
	Slowest     time.Duration
	First       string // what was wrong, the first time
}

// Add sums up two clients.
func (t *Tally) Add(other Tally) {
	t.Connections += other.Connections
	t.Escaped += other.Escaped
	t.Failed += other.Failed
	t.Slowest = max(t.Slowest, other.Slowest)
	if t.First == "" {
		t.First = other.First
	}
}

// Hammer connects in the namespace, one connection after the other, until stop is closed. Each must arrive at a port.
func (n *Namespace) Hammer(d Dial, want uint16, stop <-chan struct{}) <-chan Tally {
	done := make(chan Tally, 1)
	var tally Tally
	ended := n.Thread(func() error {
		for {
			select {
			case <-stop:
				return nil
			default:
				tally.connect(d, want)
			}
		}
	})
	go func() {
		if err := <-ended; err != nil {
			tally.Add(Tally{Failed: 1, First: err.Error()})
		}
		done <- tally
	}()
	return done
}

func (t *Tally) connect(d Dial, want uint16) {
	started := time.Now()
	answer, err := Connect(d)
	one := Tally{Connections: 1, Slowest: time.Since(started)}
	switch {
	case err != nil:
		one.Failed, one.First = 1, err.Error()
	case answer.Port != want:
		one.Escaped, one.First = 1, fmt.Sprintf("a connection to %s arrived at port %d", d.Dst, answer.Port)
	}
	t.Add(one)
}
