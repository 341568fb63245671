// Package progress tells a waiting person what happens: a line when a step starts, one every ten seconds while it runs,
// one when it ends, each with the time it took so far. In: steps and notes. Out: lines on a writer.
package progress

import (
	"fmt"
	"io"
	"sync"
	"time"
)

// Printer writes lines of one program. Its methods may be called from several goroutines.
type Printer struct {
	mu    sync.Mutex
	w     io.Writer
	every time.Duration
}

// New returns a Printer on w; a nil w discards.
func New(w io.Writer) *Printer {
	if w == nil {
		w = io.Discard
	}
	return &Printer{w: w, every: 10 * time.Second}
}

// Line writes one line.
func (p *Printer) Line(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	_, _ = fmt.Fprintf(p.w, format+"\n", args...)
}

// Step runs work under name. While it runs, what note last said is shown every ten seconds.
func (p *Printer) Step(name string, work func(note func(string)) error) error {
	start := time.Now()
	p.Line("%s ...", name)
	var mu sync.Mutex
	var last string
	note := func(s string) { mu.Lock(); last = s; mu.Unlock() }
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		tick := time.NewTicker(p.every)
		defer tick.Stop()
		for {
			select {
			case <-stop:
				return
			case <-tick.C:
				mu.Lock()
				line := last
				mu.Unlock()
				p.Line("%s: %.0fs, %s", name, time.Since(start).Seconds(), line)
			}
		}
	}()
	err := work(note)
	close(stop)
	<-stopped
	if err != nil {
		p.Line("%s: failed after %.1fs", name, time.Since(start).Seconds())
		return err
	}
	p.Line("%s: done in %.1fs", name, time.Since(start).Seconds())
	return nil
}
