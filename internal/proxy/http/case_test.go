package http

import (
	"bufio"
	"io"
	"net"
	"strings"
	"testing"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
)

// TestPreserveCase: names of fields reach the other side as they were spelled, if the side they come from is configured
// so; else in lower case.
func TestPreserveCase(t *testing.T) {
	for name, c := range map[string]struct{ down, up bool }{"neither": {}, "client's": {down: true}, "server's": {up: true}, "both": {true, true}} {
		t.Run(name, func(t *testing.T) {
			heads := make(chan string, 2)
			backend := scripted(t, func(conn net.Conn) {
				for b := bufio.NewReader(conn); ; {
					head := headOf(b)
					if head == "" {
						return
					}
					heads <- head
					_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Answer-CASE: V\r\n\r\nok")
				}
			})
			r := newRig(t, nil, func(r *rig) {
				r.cfg.PreserveCase, r.cfg.Codec = c.down, config.CodecHTTP1
				to := cluster("cased", backend)
				to.HTTP.PreserveCase = c.up
				r.extra, r.route.Forward.Cluster = []*config.Cluster{to}, to.Name
			})
			conn := r.raw()
			answers := bufio.NewReader(conn)
			for _, pieces := range [][]string{
				{"POST / HTTP/1.1\r\nHost: A\r\nX-Client-CASE: V\r\nContent-LENGTH: 0\r\nx-low: v\r\n\r\n"},
				{"POST / HTTP/1.1\r\nHo", "st: A\r\nX-Cli", "ent-CASE: V\r\nContent-LEN", "GTH: 0\r\nx-low: v\r", "\n\r\n"},
			} {
				for _, piece := range pieces {
					if _, err := io.WriteString(conn, piece); err != nil {
						t.Fatal(err)
					}
				}
				got := <-heads
				spelled(t, got, c.down, "Host: A", "X-Client-CASE: V", "Content-LENGTH: 0")
				spelled(t, got, true, "x-low: v")
				answer := headOf(answers)
				spelled(t, answer, c.up, "Content-Length: 2", "X-Answer-CASE: V")
				if _, err := io.ReadFull(answers, make([]byte, 2)); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

// spelled checks that a head has these lines, with the names as they are or in lower case.
func spelled(t *testing.T, head string, as bool, lines ...string) {
	t.Helper()
	for _, line := range lines {
		if !as {
			name, value, _ := strings.Cut(line, ": ")
			line = strings.ToLower(name) + ": " + value
		}
		if !strings.Contains(head, "\r\n"+line+"\r\n") {
			t.Errorf("no %q in\n%s", line, head)
		}
	}
}

// headOf reads a head; empty at the end.
func headOf(b *bufio.Reader) (head string) {
	for {
		line, err := b.ReadString('\n')
		if err != nil {
			return ""
		}
		if head += line; line == "\r\n" {
			return head
		}
	}
}
