package proxy

import (
	"io"
	"net"
	"testing"
)

// BenchmarkNewConnection is one connection through the proxy with a byte each way; client and backend run in the same
// process, so the proxy's part is about half. Direct is the same without the proxy.
func BenchmarkNewConnection(b *testing.B) {
	r := newRig(b, nil)
	to := backend(b, echo)
	r.sendTo(to)
	for name, address := range map[string]string{"direct": to, "proxy": r.outbound} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				c := open(b, address)
				_ = c.SetLinger(0) // no TIME_WAIT: ports would run out
				c.Close()
			}
		})
	}
}

// BenchmarkBulk is one long stream.
func BenchmarkBulk(b *testing.B) {
	r := newRig(b, nil)
	to := backend(b, func(c *net.TCPConn) { _, _ = io.Copy(io.Discard, c) })
	r.sendTo(to)
	for name, address := range map[string]string{"direct": to, "proxy": r.outbound} {
		b.Run(name, func(b *testing.B) {
			c := dial(b, address)
			defer c.Close()
			chunk := make([]byte, 256<<10)
			b.SetBytes(int64(len(chunk)))
			for b.Loop() {
				if _, err := c.Write(chunk); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
