package socket

import (
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// A connection is closed in two steps: its socket at once, by putting another one in its place, and its place in the
// table of descriptors later, with those of others. The call that frees a place is one the scheduler is told about, and
// that has the runtime's monitor thread, asleep while the process rests, look every 20 µs for a millisecond. At some
// thousand connections a second that took a quarter of the proxy's CPU.
const (
	slotsHeld    = 256                    // places that wait, at most
	slotsHeldFor = 100 * time.Millisecond // and how long
)

// slots are the places that wait. They are the process's, as its descriptors are.
var slots slotList

type slotList struct {
	mu    sync.Mutex
	files []*os.File
	due   *time.Timer // nil: nothing has ever waited
}

// add frees the place of file before long.
func (l *slotList) add(file *os.File) {
	l.mu.Lock()
	l.files = append(l.files, file)
	switch {
	case len(l.files) >= slotsHeld:
		l.mu.Unlock()
		l.free()
		return
	case l.due == nil:
		l.due = time.AfterFunc(slotsHeldFor, l.free)
	case len(l.files) == 1:
		l.due.Reset(slotsHeldFor)
	}
	l.mu.Unlock()
}

func (l *slotList) free() {
	l.mu.Lock()
	files := l.files
	l.files = nil
	l.mu.Unlock()
	for _, f := range files {
		_ = f.Close() // what it is called for has happened
	}
}

// vacate closes the connection's socket. In its place there is one that was never connected: reading and writing fail.
func (c *Conn) vacate() error {
	if errNever != nil {
		return errNever
	}
	var failed error
	if err := c.raw.Control(func(fd uintptr) { failed = replace(int(fd), never) }); err != nil {
		return err
	}
	return failed
}

// never is a socket that never will be connected. It is made as the process begins, so that nobody's closing is the first
// to need another descriptor.
var never, errNever = tcpSocket(unix.AF_INET)
