package proxy

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

// TestLastBytes: what a side wrote before it ended arrives, though the proxy closes meanwhile.
func TestLastBytes(t *testing.T) {
	r := newRig(t, nil)
	last := bytes.Repeat([]byte("0123456789abcdef"), 256<<10) // 4 MiB: more than the sockets on the way hold
	r.sendTo(backend(t, func(c *net.TCPConn) { _, _ = c.Write(last) }))
	client := dial(t, r.outbound)
	defer client.Close()
	if _, err := io.ReadFull(client, make([]byte, 16)); err != nil {
		t.Fatal(err)
	}
	closed := make(chan struct{})
	go func() { defer close(closed); r.close() }()
	eventually(t, "the proxy closes", func() error {
		if r.ctx.Err() == nil {
			return errors.New("not yet")
		}
		return nil
	})
	rest, err := io.ReadAll(client)
	if err != nil || !bytes.Equal(rest, last[16:]) {
		t.Errorf("%d bytes of %d, %v", len(rest)+16, len(last), err)
	}
	<-closed
}

// TestCloseIsBounded: a reader who has stopped, and a visitor of the metrics who says nothing, hold nobody up, and the
// connection cut off is in the log.
func TestCloseIsBounded(t *testing.T) {
	r := newRig(t, nil)
	r.sendTo(backend(t, func(c *net.TCPConn) { _, _ = io.Copy(c, endless{}) }))
	client := dial(t, r.outbound)
	defer client.Close()
	if _, err := io.ReadFull(client, make([]byte, 16)); err != nil {
		t.Fatal(err)
	}
	visitor := dial(t, r.stats)
	defer visitor.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 1500*time.Millisecond)
	defer cancel()
	r.Close(ctx)
	r.log.mu.Lock()
	defer r.log.mu.Unlock()
	if !strings.Contains(r.log.b.String(), " LR - sidecar_shutdown ") {
		t.Errorf("log: %q", r.log.b.String())
	}
}

type endless struct{}

func (endless) Read(b []byte) (int, error) { return len(b), nil }
