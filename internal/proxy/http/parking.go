package http

import (
	"net"
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// parkAfter is how long a client's connection is idle when it is parked. Busy connections never are: parking and coming
// back costs more than a request.
const parkAfter = time.Second

// lot is where idle connections wait without goroutine: a set of descriptors that the kernel watches (epoll). A
// connection is in it once, and out as soon as something happened on it.
type lot struct {
	mu     sync.Mutex
	set    *os.File // nil: nobody has been parked yet
	fd     int
	places []*h1Conn // by descriptor
	work   sync.WaitGroup
	memory reclaimer
}

// park gives away all that c holds, and its goroutine with it: who gets true must not touch c any more. With false
// nothing has changed, it can't be parked.
func (c *h1Conn) park() bool {
	c.resume()
	c.work.Store(nil)
	c.last.Store(nil)
	c.watch.set(c.until.Load())
	return c.engine.lot.enter(c)
}

// unpark lets c be served again, if it is parked.
func (c *h1Conn) unpark() {
	if c.phase.CompareAndSwap(uint32(parked), uint32(idle)) {
		c.engine.lot.leave(c)
		c.wake(c.serve)
	}
}

// endParked ends it, on a goroutine of its own.
func (c *h1Conn) endParked() {
	c.interrupt()
	c.unpark()
}

// enter parks c. The descriptor is borrowed meanwhile: nobody closes it before the kernel has taken it.
func (l *lot) enter(c *h1Conn) (parked bool) {
	socket := socketOf(c.raw)
	if socket == nil || l.open() != nil {
		return false
	}
	err := socket.Control(func(fd uintptr) { parked = l.add(c, int32(fd)) }) //nolint:gosec // descriptors are small
	return parked && err == nil
}

func (l *lot) add(c *h1Conn, fd int32) bool {
	c.place = fd
	l.mu.Lock()
	for int(fd) >= len(l.places) {
		l.places = append(l.places, nil)
	}
	l.places[fd] = c
	l.mu.Unlock()
	c.phase.Store(uint32(parked)) // from now on it may be served by somebody else
	event := unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLRDHUP | unix.EPOLLONESHOT, Fd: fd}
	l.memory.parked.Add(1)
	err := unix.EpollCtl(l.fd, unix.EPOLL_CTL_ADD, int(fd), &event)
	if err == unix.EEXIST { //nolint:errorlint // an Errno as the system call returns it
		err = unix.EpollCtl(l.fd, unix.EPOLL_CTL_MOD, int(fd), &event)
	}
	if err != nil && c.phase.CompareAndSwap(uint32(parked), uint32(idle)) {
		l.leave(c)
		return false
	}
	return true
}

// leave forgets c. The kernel may still tell of it once, which then is nobody's.
func (l *lot) leave(c *h1Conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.places[c.place] == c {
		l.places[c.place] = nil
	}
}

// open makes the set, the first time.
func (l *lot) open() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.set != nil {
		return nil
	}
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return err
	}
	if err := unix.SetNonblock(fd, true); err != nil {
		_ = unix.Close(fd)
		return err
	}
	set := os.NewFile(uintptr(fd), "parked connections")
	raw, err := set.SyscallConn()
	if err != nil {
		_ = set.Close()
		return err
	}
	l.set, l.fd = set, fd
	l.work.Go(func() { l.watch(raw) })
	return nil
}

// watch wakes connections until the set is closed. Waiting for the set itself is the runtime's, so it takes no thread.
func (l *lot) watch(raw syscall.RawConn) {
	var events [64]unix.EpollEvent
	_ = raw.Read(func(fd uintptr) bool { // its error is the end
		for {
			n, err := unix.EpollWait(int(fd), events[:], 0)
			if err == unix.EINTR { //nolint:errorlint // an Errno as the system call returns it
				continue
			}
			if n <= 0 {
				return false
			}
			for i := range n {
				if c := l.at(events[i].Fd); c != nil {
					c.unpark()
				}
			}
		}
	})
}

func (l *lot) at(fd int32) *h1Conn {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.places[fd]
}

// close is after all connections have ended.
func (l *lot) close() {
	l.mu.Lock()
	set := l.set
	l.mu.Unlock()
	if set != nil {
		_ = set.Close()
		l.work.Wait()
	}
}

// socketOf is the socket below conn, nil if it isn't known.
func socketOf(conn net.Conn) syscallConn {
	if t, ok := conn.(interface{ NetConn() net.Conn }); ok {
		conn = t.NetConn()
	}
	if bare, ok := conn.(syscall.Conn); ok {
		if raw, err := bare.SyscallConn(); err == nil {
			return raw
		}
	}
	return nil
}
