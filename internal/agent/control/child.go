package control

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"
	"time"

	"github.com/go-logr/logr"
)

// Intervals of BEAT. While draining the agent waits for the last connection, so it is told more often.
const (
	beatInterval  = time.Second
	drainInterval = 100 * time.Millisecond
)

// maxMillis is the longest deadline there is.
const maxMillis = int64(1<<63-1) / int64(time.Millisecond)

// ErrAgentGone is what Child.Run returns when the agent has died: the child must end, because nobody supervises it.
var ErrAgentGone = errors.New("the agent is gone")

// Service is what a child does when it is told to.
type Service interface {
	// Take gets the sockets. They are the service's from now on, also if it fails. Operators may be served at once,
	// applications not before Accept.
	Take(map[string]net.Listener) error
	// Warm is closed when it could accept: its configuration is there.
	Warm() <-chan struct{}
	// Accept starts serving applications.
	Accept() error
	// Drain asks peers to leave, before deadline has passed if it isn't 0. With inboundOnly the pod is going away, and
	// connections are still accepted; without it another child has the sockets now, and this one is to end when it has no
	// connection left, or at deadline.
	Drain(deadline time.Duration, inboundOnly bool)
	// SetMemoryLimit sets Go's soft limit in bytes.
	SetMemoryLimit(int64)
	// Active is the number of application connections.
	Active() int
}

// Child is the child's part of the conversation.
type Child struct {
	Conn    *Conn
	Epoch   int
	Version string
	Log     logr.Logger

	service  Service
	taken    bool            // the sockets came
	warm     <-chan struct{} // nil: not waited for
	accepted bool
	interval time.Duration // of BEAT
	asked    asked
	proofs   proofs
}

// Run greets the agent and does what it says until ctx ends (nil), the agent is gone, or the service fails.
func (c *Child) Run(ctx context.Context, service Service) error {
	c.service, c.interval = service, beatInterval
	stop := context.AfterFunc(ctx, func() { _ = c.Conn.Close() })
	defer stop()
	if err := c.send(Message{Type: Hello, Epoch: c.Epoch, PID: os.Getpid(), Version: c.Version}); err != nil {
		return err
	}
	err := c.converse(c.receive())
	c.asked.end()
	if ctx.Err() != nil {
		return nil
	}
	return err
}

type received struct {
	message Message
	fds     []int
	err     error
}

// receive reads on a goroutine that ends with the connection.
func (c *Child) receive() <-chan received {
	in := make(chan received)
	go func() {
		defer close(in)
		for {
			m, fds, err := c.Conn.Receive()
			in <- received{m, fds, err}
			var bad *MessageError
			if err != nil && !errors.As(err, &bad) {
				return
			}
		}
	}()
	return in
}

func (c *Child) converse(in <-chan received) error {
	defer func() { // let the reader end whatever we return
		_ = c.Conn.Close()
		for r := range in {
			closeAll(r.fds)
		}
	}()
	beat := time.NewTimer(beatInterval)
	defer beat.Stop()
	for {
		select {
		case r := <-in:
			if err := c.handle(r); err != nil {
				return err
			}
			if c.interval == drainInterval {
				beat.Reset(0)
			}
		case <-c.warm:
			c.warm = nil
			if err := c.send(Message{Type: Ready, Epoch: c.Epoch}); err != nil {
				return err
			}
		case <-c.proofs.came():
			if err := c.beat(); err != nil {
				return err
			}
		case <-beat.C:
			beat.Reset(c.interval)
			if err := c.beat(); err != nil {
				return err
			}
		}
	}
}

func (c *Child) handle(r received) error {
	var bad *MessageError
	switch {
	case errors.As(r.err, &bad):
		c.Log.Error(bad, "Control message ignored")
		return nil
	case errors.Is(r.err, io.EOF), errors.Is(r.err, syscall.ECONNRESET):
		return ErrAgentGone
	case r.err != nil:
		return fmt.Errorf("receiving from the agent: %w", r.err)
	}
	return c.do(r.message, r.fds)
}

func (c *Child) do(m Message, fds []int) error {
	if m.Type == Sockets && m.Address != "" {
		c.listened(m, fds)
		return nil
	}
	switch m.Type {
	case Sockets:
		if err := c.take(m.Sockets, fds); err != nil {
			return err
		}
		c.warm = c.service.Warm()
	case Accept:
		return c.accept()
	case Drain:
		c.service.Drain(time.Duration(min(m.DeadlineMillis, maxMillis))*time.Millisecond, m.InboundOnly)
		c.interval = drainInterval
	case Set:
		if m.MemoryLimit > 0 {
			c.service.SetMemoryLimit(m.MemoryLimit)
		}
	default:
		c.Log.Info("Control message of an unknown type ignored", "type", m.Type)
		closeAll(fds)
	}
	return nil
}

// take turns descriptors into listeners and hands them on. If one is no good, all are closed.
func (c *Child) take(names []string, fds []int) error {
	if c.taken {
		closeAll(fds)
		return errors.New("the agent sent SOCKETS twice")
	}
	c.taken = true
	sockets := map[string]net.Listener{}
	var failed []error
	for i, name := range names {
		l, err := listenerOf(fds[i], name)
		if err != nil {
			failed = append(failed, err)
			continue
		}
		sockets[name] = l
	}
	if len(failed) > 0 {
		for _, l := range sockets {
			_ = l.Close()
		}
		return errors.Join(failed...)
	}
	return c.service.Take(sockets)
}

// listenerOf takes fd over; net.FileListener works on a duplicate of its own.
func listenerOf(fd int, name string) (net.Listener, error) {
	file := os.NewFile(uintptr(fd), name)
	defer file.Close()
	l, err := net.FileListener(file)
	if err != nil {
		return nil, fmt.Errorf("socket %q: %w", name, err)
	}
	return l, nil
}

func (c *Child) accept() error {
	if !c.taken {
		return errors.New("the agent sent ACCEPT before SOCKETS")
	}
	if c.accepted {
		return errors.New("the agent sent ACCEPT twice")
	}
	if err := c.service.Accept(); err != nil {
		return err
	}
	c.accepted = true
	return c.send(Message{Type: Accepting, Epoch: c.Epoch})
}

func (c *Child) beat() error {
	if !c.accepted {
		return nil
	}
	return c.send(Message{Type: Beat, Epoch: c.Epoch, Active: c.service.Active(), Draining: c.interval == drainInterval, Proofs: c.proofs.take()})
}

// send doesn't fail because the agent is slow: it may be stopped by a debugger, and traffic must go on.
func (c *Child) send(m Message) error {
	err := c.Conn.Send(m, nil)
	switch {
	case errors.Is(err, syscall.EPIPE), errors.Is(err, syscall.ECONNRESET):
		return ErrAgentGone
	case errors.Is(err, os.ErrDeadlineExceeded):
		c.Log.Info("The agent doesn't read its control socket", "message", m.Type)
		return nil
	}
	return err
}
