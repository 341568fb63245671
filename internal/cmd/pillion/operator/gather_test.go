package operator

import (
	"bytes"
	"errors"
	"io"
	"net"
	"testing"
)

// writes counts what reaches the network; reading takes what the client sent.
type writes struct {
	net.Conn
	sent   [][]byte
	fault  error
	closed bool
}

func (w *writes) Write(b []byte) (int, error) {
	w.sent = append(w.sent, bytes.Clone(b))
	return len(b), w.fault
}
func (w *writes) Read([]byte) (int, error) { return 0, io.EOF }
func (w *writes) Close() error             { w.closed = true; return nil }

func TestAnswersAreWrittenAtOnce(t *testing.T) {
	large := bytes.Repeat([]byte("x"), maxKept)
	for _, c := range []struct {
		name string
		do   func(*gatheringConn)
		want []string
	}{
		{"until the next request is read", func(c *gatheringConn) { _, _ = c.Read(nil) }, []string{"ab"}},
		{"until the connection is closed", func(c *gatheringConn) { _ = c.Close() }, []string{"ab"}},
		{"until there is too much", func(c *gatheringConn) { _, _ = c.Write(large) }, []string{"ab", string(large)}},
		{"once", func(c *gatheringConn) { _, _ = c.Read(nil); _, _ = c.Read(nil); _ = c.Close() }, []string{"ab"}},
	} {
		inner := &writes{}
		conn := &gatheringConn{Conn: inner}
		for _, part := range []string{"a", "b"} {
			if n, err := conn.Write([]byte(part)); n != 1 || err != nil {
				t.Fatalf("%s: %d %v", c.name, n, err)
			}
		}
		if len(inner.sent) != 0 {
			t.Errorf("%s: %q is sent before anybody waits for it", c.name, inner.sent)
		}
		c.do(conn)
		if got := string(bytes.Join(inner.sent, []byte("|"))); got != string(bytes.Join(toBytes(c.want), []byte("|"))) {
			t.Errorf("%s: sent %.40q", c.name, got)
		}
	}
}

func toBytes(texts []string) (all [][]byte) {
	for _, text := range texts {
		all = append(all, []byte(text))
	}
	return all
}

// TestAnswersThatCannotBeSent end the connection when the next request is read.
func TestAnswersThatCannotBeSent(t *testing.T) {
	inner := &writes{fault: net.ErrClosed}
	conn := &gatheringConn{Conn: inner}
	if _, err := conn.Write([]byte("a")); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Read(nil); !errors.Is(err, net.ErrClosed) {
		t.Errorf("reading on: %v", err)
	}
	if err := conn.Close(); err != nil || !inner.closed {
		t.Errorf("closing: %v, closed %t", err, inner.closed)
	}
}
