package ipt

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
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
	attributes := &syscall.ProcAttr{Env: env, Files: []uintptr{c.files[0].Fd(), c.files[1].Fd(), c.files[2].Fd()}}
	pid, err := syscall.ForkExec(program, append([]string{program}, args...), attributes)
	if err != nil {
		return err
	}
	var reaping sync.Mutex // its number is another's once it is reaped
	gone, late := false, false
	timer := time.AfterFunc(runTime, func() {
		reaping.Lock()
		defer reaping.Unlock()
		if !gone {
			late = true
			_ = unix.Kill(pid, unix.SIGKILL)
		}
	})
	defer timer.Stop()
	if err := again(func() error { return unix.Waitid(unix.P_PID, pid, nil, unix.WEXITED|unix.WNOWAIT, nil) }); err != nil {
		return fmt.Errorf("waiting: %w", err)
	}
	reaping.Lock()
	defer reaping.Unlock()
	gone = true
	var status unix.WaitStatus
	err = again(func() error { _, err := unix.Wait4(pid, &status, 0, nil); return err })
	switch {
	case err != nil:
		return fmt.Errorf("waiting: %w", err)
	case late:
		return fmt.Errorf("it didn't end within %s", runTime)
	case status.Signaled():
		return fmt.Errorf("it was ended by signal %s", status.Signal())
	case status.ExitStatus() != 0:
		return ExitError(status.ExitStatus())
	}
	return nil
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
