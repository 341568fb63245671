package h2

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync"
	"testing"
)

// TestFlowControl: with any windows on both sides, any number of streams carries any bodies both ways, and neither side
// sends more than it may, which the other would count.
func TestFlowControl(t *testing.T) {
	for seed := range uint64(30) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			random := rand.New(rand.NewPCG(seed, 1))
			counters := &Counters{}
			options := func() Options {
				windows := []uint32{1, 7, 100, 16384, 65535, 200000, 1 << 20}
				return Options{StreamWindow: windows[random.IntN(len(windows))], ConnectionWindow: rfcWindow + uint32(random.IntN(200000)), Counters: counters}
			}
			server, client := options(), options()
			most := 40 * int(min(server.StreamWindow, client.StreamWindow, 20000))
			c := dial(t, serve(t, server, echo), client)
			var all sync.WaitGroup
			for range 1 + random.IntN(20) {
				body := make([]byte, random.IntN(most))
				for i := range body {
					body[i] = byte(random.Uint32())
				}
				all.Go(func() {
					if _, got, _ := exchange(t, c, body); !bytes.Equal(got, body) {
						t.Errorf("%d bytes came back as %d", len(body), len(got))
					}
				})
			}
			all.Wait()
			if counters.ProtocolErrors.Load()+counters.StreamErrors.Load()+counters.Floods.Load() != 0 {
				t.Errorf("%+v", counters)
			}
			c.mu.Lock()
			defer c.mu.Unlock()
			if got, want := c.window+c.credit, int64(c.opts.ConnectionWindow); got != want {
				t.Errorf("the connection's window has become %d, not %d", got, want)
			}
		})
	}
}

// TestSlowStreamHoldsOnlyItself: a stream nobody reads stops its sender at its window, others go on.
func TestSlowStreamHoldsOnlyItself(t *testing.T) {
	release := make(chan struct{})
	c := dial(t, serve(t, Options{}, func(s *ServerStream) {
		if s.ID() == 1 {
			<-release
		}
		echo(s)
	}), Options{})
	var slow sync.WaitGroup
	body := bytes.Repeat([]byte("slow"), 1<<18)
	slow.Go(func() {
		if _, got, _ := exchange(t, c, body); !bytes.Equal(got, body) {
			t.Error("the slow stream lost bytes")
		}
	})
	for full := false; !full; runtime.Gosched() { // until it is stuck
		c.mu.Lock()
		full = c.streams[1] != nil && c.streams[1].sendable == 0
		c.mu.Unlock()
	}
	for range 10 {
		exchange(t, c, body)
	}
	close(release)
	slow.Wait()
}
