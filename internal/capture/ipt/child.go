package ipt

import (
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// ExitError is the status of a program that didn't succeed.
type ExitError int

func (e ExitError) Error() string { return fmt.Sprintf("exit status %d", int(e)) }

// child is a program with files in memory for its input, output and complaints. Pipes would need goroutines, and os/exec
// starts one more process than asked for, to try what the kernel can do: in an init container that is time.
type child struct{ files [3]*os.File }

func newChild(input string) (*child, error) {
	c := &child{}
	for i, name := range []string{"input", "output", "complaints"} {
		fd, err := unix.MemfdCreate(name, unix.MFD_CLOEXEC)
		if err != nil {
			c.close()
			return nil, fmt.Errorf("making a file in memory: %w", err)
		}
		c.files[i] = os.NewFile(uintptr(fd), name)
	}
	_, err := c.files[0].WriteString(input)
	if err == nil {
		_, err = c.files[0].Seek(0, io.SeekStart)
	}
	if err != nil {
		c.close()
		return nil, fmt.Errorf("writing %d bytes of input: %w", len(input), err)
	}
	return c, nil
}

func (c *child) close() {
	for _, f := range c.files {
		if f != nil {
			f.Close()
		}
	}
}

// run waits for the program's end, or ends it itself. It starts it from the calling thread: that has the network
// namespace.
func (c *child) run(program string, args, env []string) error {
	end := -1 // a file that can be read once the program has ended
	attributes := &syscall.ProcAttr{
		Env: env, Files: []uintptr{c.files[0].Fd(), c.files[1].Fd(), c.files[2].Fd()}, Sys: &syscall.SysProcAttr{PidFD: &end},
	}
	pid, err := syscall.ForkExec(program, append([]string{program}, args...), attributes)
	if err != nil {
		return err
	}
	status, err := reap(pid, end, runTime)
	switch {
	case err != nil:
		return fmt.Errorf("waiting: %w", err)
	case status.late:
		return fmt.Errorf("it didn't end within %s", runTime)
	case status.Signaled():
		return fmt.Errorf("it was ended by signal %s", status.Signal())
	case status.ExitStatus() != 0:
		return ExitError(status.ExitStatus())
	}
	return nil
}

type ending struct {
	unix.WaitStatus
	late bool // we ended it
}

// glance is how often a program is looked at whose end can't be watched.
const glance = time.Millisecond

// reap waits for a program's end, and ends it itself when its time is over.
func reap(pid, end int, limit time.Duration) (status ending, err error) {
	deadline := time.Now().Add(limit)
	reaped := func(flags int) bool {
		var got int
		err = again(func() (err error) { got, err = unix.Wait4(pid, &status.WaitStatus, flags, nil); return err })
		return err != nil || got == pid
	}
	if watch(end, deadline, reaped) {
		return status, err
	}
	for time.Now().Before(deadline) {
		if reaped(unix.WNOHANG) {
			return status, err
		}
		time.Sleep(glance)
	}
	status.late = true
	_ = unix.Kill(pid, unix.SIGKILL)
	reaped(0)
	return status, err
}

// watch waits as a reader of the file that tells a program's end. A thread that waited in the kernel itself would keep
// the runtime's monitor looking at it 50 000 times a second, and that takes the processor the program needs. It tells
// whether the program is reaped: not if it is late, nor if there is no such file, as in kernels before 5.4.
func watch(end int, deadline time.Time, reaped func(flags int) bool) bool {
	if end < 0 {
		return false
	}
	_ = unix.SetNonblock(end, true) // else the runtime wouldn't watch it
	file := os.NewFile(uintptr(end), "end")
	defer file.Close()
	if file.SetReadDeadline(deadline) != nil {
		return false
	}
	conn, err := file.SyscallConn()
	return err == nil && conn.Read(func(uintptr) bool { return reaped(unix.WNOHANG) }) == nil
}

// again repeats a call that a signal interrupted.
func again(call func() error) error {
	for {
		if err := call(); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

// output is what the program wrote to its file descriptor.
func (c *child) output(fd int) (string, error) {
	if _, err := c.files[fd].Seek(0, io.SeekStart); err != nil {
		return "", err
	}
	text, err := io.ReadAll(io.LimitReader(c.files[fd], maxOutput+1))
	if len(text) > maxOutput {
		return "", fmt.Errorf("more than %d bytes of output", maxOutput)
	}
	return string(text), err
}
