package control

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
)

// asked are the LISTENs that wait for their answers.
type asked struct {
	mu   sync.Mutex
	by   map[string][]chan answered
	over bool
}

// answered is the agent's answer to LISTEN.
type answered struct {
	socket net.Listener
	err    error
}

var errNoAgent = errors.New("the conversation with the agent is over")

// Listen has the agent open a socket at address, or give the one it holds there. It waits for the answer until ctx ends;
// a socket that comes later is closed. Run must be running.
func (c *Child) Listen(ctx context.Context, address netip.AddrPort) (net.Listener, error) {
	answer, err := c.asked.add(address.String())
	if err != nil {
		return nil, err
	}
	if err := c.send(Message{Type: Listen, Epoch: c.Epoch, Address: address.String()}); err != nil {
		return nil, err
	}
	select {
	case got := <-answer:
		return got.socket, got.err
	case <-ctx.Done():
		go func() {
			if late := <-answer; late.socket != nil {
				_ = late.socket.Close()
			}
		}()
		return nil, ctx.Err()
	}
}

// Release tells the agent that the socket at address isn't wanted any more.
func (c *Child) Release(address netip.AddrPort) {
	if err := c.send(Message{Type: Release, Epoch: c.Epoch, Address: address.String()}); err != nil {
		c.Log.Error(err, "The agent can't be told that a socket isn't wanted", "address", address)
	}
}

func (a *asked) add(address string) (chan answered, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.over {
		return nil, errNoAgent
	}
	if a.by == nil {
		a.by = map[string][]chan answered{}
	}
	answer := make(chan answered, 1)
	a.by[address] = append(a.by[address], answer)
	return answer, nil
}

// answer is given to who has waited longest; without anybody false.
func (a *asked) answer(address string, got answered) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	waiting := a.by[address]
	if len(waiting) == 0 {
		return false
	}
	waiting[0] <- got
	if a.by[address] = waiting[1:]; len(waiting) == 1 {
		delete(a.by, address)
	}
	return true
}

// end answers all who wait: nobody else will.
func (a *asked) end() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.over = true
	for _, waiting := range a.by {
		for _, each := range waiting {
			each <- answered{err: errNoAgent}
		}
	}
	a.by = nil
}

// listened takes the answer to a LISTEN.
func (c *Child) listened(m Message, fds []int) {
	got := answered{err: fmt.Errorf("the agent has no socket at %s: %s", m.Address, m.Error)}
	if len(fds) == 1 {
		got.socket, got.err = listenerOf(fds[0], m.Sockets[0])
	} else {
		closeAll(fds)
	}
	if !c.asked.answer(m.Address, got) && got.socket != nil {
		_ = got.socket.Close()
	}
}
