package operator

import (
	"net"
	"sync"
)

// gathering makes connections that send an answer in one packet: net/http writes every 4 KiB by themselves, and each
// write costs both ends as much as a tenth of an injection.
type gathering struct{ net.Listener }

func (g gathering) Accept() (net.Conn, error) {
	c, err := g.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &gatheringConn{Conn: c}, nil
}

// gatheringConn keeps what is written until somebody reads or closes: a server, whether of TLS or HTTP/1.1, has said all
// it has to say when it waits for its client.
type gatheringConn struct {
	net.Conn
	mu   sync.Mutex
	kept []byte
}

// maxKept bounds what waits; answers are smaller, but for pods of many variables.
const maxKept = 16 << 10

func (c *gatheringConn) Write(b []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.kept)+len(b) > maxKept {
		if err := c.send(); err != nil {
			return 0, err
		}
		return c.Conn.Write(b)
	}
	c.kept = append(c.kept, b...)
	return len(b), nil
}

func (c *gatheringConn) Read(b []byte) (int, error) {
	if err := c.flush(); err != nil {
		return 0, err
	}
	return c.Conn.Read(b)
}

func (c *gatheringConn) Close() error {
	_ = c.flush() // the connection ends one way or the other
	return c.Conn.Close()
}

func (c *gatheringConn) flush() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.send()
}

func (c *gatheringConn) send() error {
	if len(c.kept) == 0 {
		return nil
	}
	_, err := c.Conn.Write(c.kept)
	c.kept = c.kept[:0]
	return err
}
