package state

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Lock is a file lock (flock). It vanishes with the process that holds it, however that ends.
type Lock struct{ file *os.File }

// Change admits one `up` or `down` of a cluster at a time, and one joining or leaving test.
func (d Dir) Change(ctx context.Context) (*Lock, error) {
	if err := os.MkdirAll(base(), 0o755); err != nil {
		return nil, fmt.Errorf("making the folder that %s names: %w", BaseEnv, err)
	}
	l, err := acquire(ctx, string(d)+".lock", unix.LOCK_EX)
	if err != nil {
		return nil, fmt.Errorf("waiting for another up or down of cluster %q: %w", d.Name(), err)
	}
	return l, nil
}

// Use is held, shared, by every test that uses a cluster. Take it under Change only.
func (d Dir) Use(ctx context.Context) (*Lock, error) {
	l, err := acquire(ctx, string(d)+".users", unix.LOCK_SH)
	if err != nil {
		return nil, fmt.Errorf("joining cluster %q: %w", d.Name(), err)
	}
	return l, nil
}

// acquire polls: a blocking flock can't be given up. It starts again when the file was removed meanwhile, so that
// whoever holds the lock may remove the file.
func acquire(ctx context.Context, path string, how int) (*Lock, error) {
	for {
		file, err := open(path)
		if err != nil {
			return nil, err
		}
		if err := flock(ctx, file, how); err != nil {
			return nil, errors.Join(err, file.Close())
		}
		if current(file, path) {
			return &Lock{file}, nil
		}
		if err := file.Close(); err != nil {
			return nil, err
		}
	}
}

// open doesn't ask to create what's there: in /var/tmp the kernel refuses that for another user's file, even to root.
func open(path string) (*os.File, error) {
	for {
		file, err := os.OpenFile(path, os.O_RDWR|syscall.O_NOFOLLOW, 0)
		if !errors.Is(err, fs.ErrNotExist) {
			return file, err
		}
		file, err = os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_RDWR|syscall.O_NOFOLLOW, 0o600)
		if !errors.Is(err, fs.ErrExist) {
			return file, err
		}
	}
}

func flock(ctx context.Context, file *os.File, how int) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		err := unix.Flock(int(file.Fd()), how|unix.LOCK_NB)
		if !errors.Is(err, unix.EWOULDBLOCK) && !errors.Is(err, unix.EINTR) {
			return err
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-tick.C:
		}
	}
}

func current(file *os.File, path string) bool {
	held, err := file.Stat()
	if err != nil {
		return false
	}
	named, err := os.Lstat(path)
	return err == nil && os.SameFile(held, named)
}

// Last turns a shared lock into an exclusive one if nobody else holds it.
func (l *Lock) Last() bool {
	return unix.Flock(int(l.file.Fd()), unix.LOCK_EX|unix.LOCK_NB) == nil
}

// Release gives the lock up.
func (l *Lock) Release() {
	_ = l.file.Close()
}

// Remove removes the lock's file, then gives the lock up. The lock must be exclusive.
func (l *Lock) Remove() {
	_ = os.Remove(l.file.Name())
	_ = l.file.Close()
}

// owner is the user a file belongs to.
func owner(path string) (int, error) {
	info, err := os.Lstat(path)
	if err != nil {
		return -1, err
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return -1, errors.New("no owner known")
	}
	return int(stat.Uid), nil
}

// Exclusive is a lock on any file, waited for until ctx ends.
func Exclusive(ctx context.Context, path string) (*Lock, error) {
	l, err := acquire(ctx, path, unix.LOCK_EX)
	if err != nil {
		return nil, fmt.Errorf("waiting for the lock %s: %w", path, err)
	}
	return l, nil
}
