package agent

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/pillion-mesh/pillion/internal/agent/control"
)

// Command is how the children are started.
type Command struct {
	Path string   // "" = this binary
	Args []string // with the name; --restart-epoch N --control-fd 3 is added
	Env  []string
}

// process is a child: its exit, its end of the control socket, the last of what it wrote to stderr.
type process struct {
	pid    int
	conn   *control.Conn
	reaper *Reaper
	exited <-chan Exit
	inbox  chan incoming
	quit   chan struct{} // closed when nobody reads inbox any more
	stderr *tail
	wrote  chan struct{} // closed when stderr has ended
}

// incoming is a message, or why there is none: a *control.MessageError, or the end of the conversation.
type incoming struct {
	message control.Message
	err     error
}

// start forks a child with its control socket at descriptor 3. Its stdout is ours: access logs go there.
func start(r *Reaper, c Command, epoch int) (*process, error) {
	conn, theirs, err := control.Pair()
	if err != nil {
		return nil, err
	}
	defer theirs.Close()
	errRead, errWrite, err := os.Pipe()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("making the pipe for stderr: %w", err), conn.Close())
	}
	defer errWrite.Close()
	p := &process{conn: conn, reaper: r, inbox: make(chan incoming, 16), quit: make(chan struct{}), stderr: newTail(os.Stderr), wrote: make(chan struct{})}
	p.pid, p.exited, err = r.Start(executable(c), childArgs(c, epoch), childAttr(c, errWrite, theirs))
	if err != nil {
		return nil, errors.Join(err, conn.Close(), errRead.Close())
	}
	go p.copyStderr(errRead)
	go p.receive()
	return p, nil
}

// executable is /proc/self/exe rather than a path, so that a child runs what the agent runs even if the file was
// replaced.
func executable(c Command) string {
	if c.Path != "" {
		return c.Path
	}
	return "/proc/self/exe"
}

func childArgs(c Command, epoch int) []string {
	args := append([]string{}, c.Args...)
	return append(args, fmt.Sprintf("--restart-epoch=%d", epoch), fmt.Sprintf("--control-fd=%d", control.FD))
}

// childAttr puts the child in a process group of its own: a signal to ours, like Ctrl-C, must come to the agent
// alone, which then drains.
func childAttr(c Command, stderr, ctl *os.File) *syscall.ProcAttr {
	null := uintptr(0) // our stdin; PID 1 of a container has /dev/null there
	return &syscall.ProcAttr{
		Env:   c.Env,
		Files: []uintptr{null, 1, stderr.Fd(), ctl.Fd()},
		Sys:   &syscall.SysProcAttr{Setpgid: true},
	}
}

func (p *process) copyStderr(from *os.File) {
	defer close(p.wrote)
	_, _ = io.Copy(p.stderr, from)
	_ = from.Close()
}

func (p *process) receive() {
	defer close(p.inbox)
	for {
		m, fds, err := p.conn.Receive()
		for _, fd := range fds {
			_ = syscall.Close(fd) // a child has none to give
		}
		select {
		case p.inbox <- incoming{m, err}:
		case <-p.quit:
			return
		}
		var bad *control.MessageError
		if err != nil && !errors.As(err, &bad) {
			return
		}
	}
}

// PID and the next four are what the supervisor sees of a child.
func (p *process) PID() int                                { return p.pid }
func (p *process) Inbox() <-chan incoming                  { return p.inbox }
func (p *process) Exited() <-chan Exit                     { return p.exited }
func (p *process) Send(m control.Message, fds []int) error { return p.conn.Send(m, fds) }
func (p *process) Signal(sig syscall.Signal) error         { return p.reaper.Signal(p.pid, sig) }

// LastWords is the end of what the child wrote to stderr. After its death the rest is in the pipe at once; only a
// grandchild that holds the pipe open makes us wait in vain.
func (p *process) LastWords() string {
	timer := time.NewTimer(100 * time.Millisecond)
	defer timer.Stop()
	select {
	case <-p.wrote:
	case <-timer.C:
	}
	return p.stderr.String()
}

// Release frees what belongs to a child that has exited.
func (p *process) Release() {
	close(p.quit)
	_ = p.conn.Close()
}

// tail passes writes on and keeps the last of them for error messages.
type tail struct {
	to io.Writer

	mu   sync.Mutex
	kept []byte
}

const tailBytes = 4 << 10

func newTail(to io.Writer) *tail { return &tail{to: to} }

func (t *tail) Write(b []byte) (int, error) {
	t.mu.Lock()
	t.kept = append(t.kept, b...)
	if over := len(t.kept) - tailBytes; over > 0 {
		t.kept = append(t.kept[:0], t.kept[over:]...)
	}
	t.mu.Unlock()
	return t.to.Write(b)
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(t.kept)
}
