package socket

import (
	"errors"
	"io"
	"net"
	"os"
	"runtime"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/pillion-mesh/pillion/internal/proxy/socket/sockettest"
)

func descriptors(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}

func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !holds(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal(what)
		}
	}
}

// TestSlots: peers of closed connections are told at once, many of them hold few descriptors and none before long.
func TestSlots(t *testing.T) {
	l := listen(t, "tcp4", sockettest.Any())
	pair(t, l, Dialer{}, at(t, l.Addr())) // makes the runtime's poller
	slots.free()
	before := descriptors(t)
	for i := range 2 * slotsHeld {
		here, there := pair(t, l, Dialer{}, at(t, l.Addr()))
		here.Close()
		if n, err := there.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
			t.Fatalf("connection %d: %d, %v", i, n, err)
		}
		there.Close()
	}
	if held := descriptors(t) - before; held > slotsHeld {
		t.Errorf("%d descriptors are held, want %d at most", held, slotsHeld)
	}
	eventually(t, "closed connections keep descriptors", func() bool { return descriptors(t) <= before })
}

// TestClosed: nothing can be done with a closed connection, and its number isn't another one's yet.
func TestClosed(t *testing.T) {
	l := listen(t, "tcp4", sockettest.Any())
	here, there := pair(t, l, Dialer{}, at(t, l.Addr()))
	raw, err := there.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	there.Close()
	other, _ := pair(t, l, Dialer{}, at(t, l.Addr()))
	if there.Local().IsValid() {
		t.Error("a closed connection has an address:", there.Local())
	}
	_, reading := there.Read(make([]byte, 1))
	_, writing := there.Write([]byte("x"))
	for what, err := range map[string]error{
		"read": reading, "write": writing, "half-close": there.CloseWrite(), "linger": there.SetLinger(0),
		"deadline": there.SetReadDeadline(time.Now()), "control": raw.Control(func(uintptr) { t.Error("called") }),
		"wait to read":  raw.Read(func(uintptr) bool { return false }),
		"wait to write": raw.Write(func(uintptr) bool { return false }),
	} {
		if !errors.Is(err, net.ErrClosed) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if n, err := here.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("the peer read %d, %v", n, err)
	}
	if _, err := other.Write([]byte("x")); err != nil {
		t.Error(err)
	}
}

// TestCloseEndsWaits: whoever waits for a connection is told that it is closed, whether it waits already or is about to.
func TestCloseEndsWaits(t *testing.T) {
	l := listen(t, "tcp4", sockettest.Any())
	for range 200 {
		here, _ := pair(t, l, Dialer{}, at(t, l.Addr()))
		raw, err := here.SyscallConn()
		if err != nil {
			t.Fatal(err)
		}
		var waits sync.WaitGroup
		started := make(chan struct{})
		waits.Go(func() {
			close(started)
			var one [1]byte
			var failed error
			err := raw.Read(func(fd uintptr) bool {
				_, failed = Read(fd, one[:])
				return !errors.Is(failed, unix.EAGAIN)
			})
			if !errors.Is(err, net.ErrClosed) && !errors.Is(failed, unix.ENOTCONN) {
				t.Errorf("reading: %v, %v", err, failed)
			}
		})
		waits.Go(func() {
			for {
				if err := here.SetWriteDeadline(time.Time{}); err != nil {
					return
				}
				runtime.Gosched()
			}
		})
		<-started
		here.Close()
		waits.Wait()
	}
}

// TestBigTransfer: what doesn't fit into the socket is written as room comes.
func TestBigTransfer(t *testing.T) {
	l := listen(t, "tcp4", sockettest.Any())
	here, there := pair(t, l, Dialer{}, at(t, l.Addr()))
	data := make([]byte, 32<<20)
	for i := range data {
		data[i] = byte(i >> 12)
	}
	var writer sync.WaitGroup
	writer.Go(func() {
		if n, err := here.Write(data); n != len(data) || err != nil {
			t.Errorf("wrote %d: %v", n, err)
		}
		here.Close()
	})
	got, err := io.ReadAll(there)
	writer.Wait()
	if err != nil || string(got) != string(data) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
}

// TestWithoutReplacement: where no other socket can be had, closing is as usual.
func TestWithoutReplacement(t *testing.T) {
	made := errNever
	t.Cleanup(func() { errNever = made })
	errNever = unix.EMFILE
	l := listen(t, "tcp4", sockettest.Any())
	here, there := pair(t, l, Dialer{}, at(t, l.Addr()))
	if err := here.Close(); err != nil {
		t.Error(err)
	}
	if n, err := there.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("%d, %v", n, err)
	}
	if _, err := here.Read(make([]byte, 1)); !errors.Is(err, net.ErrClosed) {
		t.Error(err)
	}
}
