// Package supervisor runs a server as a child process and holds its listening socket meanwhile. When the child dies,
// connections wait in the socket's accept queue until the next child takes them: a crash costs the requests it was
// answering, and no others. Without it every connection is refused until the kubelet has noticed and the API server's
// node has taken the pod out of the Service, about two seconds.
//
// It covers what ends the child alone: a panic, a fatal error of the Go runtime, an exit with a code, a SIGKILL of that
// process. Not what ends the container: the kubelet's own kill, a failed liveness probe, the node's death, and the
// kernel's OOM killer on cgroup v2, where kubelets set memory.oom.group and so parent and child die together (on cgroup
// v1, or with the kubelet's singleProcessOOMKill, it takes the child, by far the bigger one). Then other replicas answer.
//
// The kubelet counts no such death as a restart, so each child is told how often and how the ones before it ended.
//
// In: a listener and how to start a child, which finds the socket as fd 3 and a pipe that ends with us as fd 4. Out:
// nil once the child ended because it was asked to, or the reason to give up.
package supervisor

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"syscall"
	"time"

	"github.com/go-logr/logr"
)

// File descriptors a child inherits.
const (
	FDListener = 3
	FDParent   = 4
)

// Options of one supervised server.
type Options struct {
	Listener *net.TCPListener
	Command  func(Deaths) *exec.Cmd // a new child, not started; fd 3 and 4 are added
	Starts   int                    // so many starts within Window are one too many: the container's restart is better then
	Window   time.Duration
	Patience time.Duration // how long a child may take to end after SIGTERM
	Now      func() time.Time
	Log      logr.Logger
}

// Deaths are those of earlier children.
type Deaths struct {
	Count int
	Last  string // how the last of them ended, such as "signal: killed"; "" if Count is 0
}

// ErrTooManyDeaths is returned when children keep dying.
var ErrTooManyDeaths = errors.New("the child keeps dying")

// Run starts children until ctx ends: then the present one gets SIGTERM and Patience. A child that ends with code 0
// ends Run too.
func Run(ctx context.Context, o Options) error {
	socket, err := o.Listener.File()
	if err != nil {
		return fmt.Errorf("supervisor: the listening socket: %w", err)
	}
	defer socket.Close()
	var starts []time.Time
	var deaths Deaths
	for {
		starts = append(starts, o.Now())
		err := o.once(ctx, socket, deaths)
		if err == nil || ctx.Err() != nil {
			return err
		}
		deaths = Deaths{Count: deaths.Count + 1, Last: ending(err)}
		starts = recent(starts, o.Now().Add(-o.Window))
		if len(starts) >= o.Starts {
			return fmt.Errorf("%w: %d times in %s, at last: %w", ErrTooManyDeaths, len(starts), o.Window, err)
		}
		o.Log.Error(err, "child died; connections wait for the next one", "deaths", deaths.Count, "starts", len(starts), "window", o.Window)
		if len(starts) > 1 && !pause(ctx, time.Second) { // the first death gets an answer at once
			return nil
		}
	}
}

// pause says whether d went by before ctx ended.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

// recent drops what was before since.
func recent(starts []time.Time, since time.Time) []time.Time {
	for len(starts) > 0 && starts[0].Before(since) {
		starts = starts[1:]
	}
	return starts
}

// once runs one child to its end.
func (o *Options) once(ctx context.Context, socket *os.File, deaths Deaths) error {
	theirs, ours, err := os.Pipe()
	if err != nil {
		return fmt.Errorf("supervisor: %w", err)
	}
	defer ours.Close()
	child := o.Command(deaths)
	child.ExtraFiles = []*os.File{socket, theirs}
	err = child.Start()
	theirs.Close()
	if err != nil {
		return fmt.Errorf("starting the child: %w", err)
	}
	ended := make(chan error, 1)
	go func() { ended <- child.Wait() }()
	select {
	case err := <-ended:
		return describe(err)
	case <-ctx.Done():
		return o.end(child, ended)
	}
}

// end asks the child to go, and makes it go after Patience.
func (o *Options) end(child *exec.Cmd, ended <-chan error) error {
	if err := child.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("ending the child: %w", err)
	}
	timer := time.NewTimer(o.Patience)
	defer timer.Stop()
	select {
	case err := <-ended:
		return describe(err)
	case <-timer.C:
		o.Log.Info("child didn't end in time; killing it", "patience", o.Patience)
		_ = child.Process.Kill() // it may have ended meanwhile
		return describe(<-ended)
	}
}

// ending says how a child ended: its exit status or signal where it ran at all.
func ending(err error) string {
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return exit.Error()
	}
	return err.Error()
}

func describe(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("child: %w", err)
}

// Orphaned is closed when the parent that holds the other end of fd 4 is gone: a child must not outlive it.
func Orphaned() <-chan struct{} {
	pipe := os.NewFile(FDParent, "parent")
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		_, _ = pipe.Read(make([]byte, 1)) // nothing is ever written: it returns at end of file
	}()
	return gone
}
