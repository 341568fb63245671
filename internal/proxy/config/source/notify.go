package source

import (
	"time"

	"github.com/fsnotify/fsnotify"
)

// changes merges what a watcher tells to one token: something changed.
type changes struct {
	token chan struct{}
	stop  chan struct{}
	done  chan struct{}
}

func newChanges() *changes {
	return &changes{token: make(chan struct{}, 1), stop: make(chan struct{}), done: make(chan struct{})}
}

func (c *changes) end() {
	close(c.stop)
	<-c.done
}

func (c *changes) tell() {
	select {
	case c.token <- struct{}{}:
	default:
	}
}

// follow passes a watcher's events on until end is called.
func (c *changes) follow(w *fsnotify.Watcher) {
	defer close(c.done)
	defer func() { _ = w.Close() }()
	for {
		select {
		case <-c.stop:
			return
		case _, open := <-w.Events:
			if !open {
				return
			}
			c.tell()
		case _, open := <-w.Errors: // an overflow: events were lost
			if !open {
				return
			}
			c.tell()
		}
	}
}

// poll tells of a change at each interval until end is called.
func (c *changes) poll(every time.Duration) {
	defer close(c.done)
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for {
		select {
		case <-c.stop:
			return
		case <-ticker.C:
			c.tell()
		}
	}
}
