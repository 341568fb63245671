package interop

import (
	"bufio"
	"bytes"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"golang.org/x/net/websocket"

	"github.com/pillion-mesh/pillion/test/proxy/rig"
)

// upgrades allows WebSocket.
var upgrades = rig.JSON{"upgrade_configs": []rig.JSON{{"upgrade_type": "websocket"}}}

// webSocketChain is two proxies before an echo of WebSocket, both HTTP/1.1.
func webSocketChain(t *testing.T) string {
	backend := rig.Served(t, websocket.Handler(func(c *websocket.Conn) { _, _ = io.Copy(c, c) }).ServeHTTP)
	second := rig.Start(t, rig.To(backend, upgrades, nil))
	return rig.Start(t, rig.To(second.Address, upgrades, nil)).Address
}

func TestWebSocket(t *testing.T) {
	settled := rig.Settled(t)
	t.Run("echo", func(t *testing.T) {
		c, err := websocket.Dial("ws://"+webSocketChain(t)+"/echo", "", "http://localhost/")
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		for _, size := range []int{0, 1, 125, 126, 65535, 65536, 4 << 20} {
			want := bytes.Repeat([]byte{'w'}, size)
			sent := make(chan error, 1)
			go func() { sent <- websocket.Message.Send(c, want) }()
			var got []byte
			for len(got) < size { // the echo cuts frames into others
				var piece []byte
				if err := websocket.Message.Receive(c, &piece); err != nil {
					t.Fatalf("%d bytes: %v", size, err)
				}
				got = append(got, piece...)
			}
			if err := <-sent; err != nil || !bytes.Equal(got, want) {
				t.Fatalf("%d bytes: %d came back, %v", size, len(got), err)
			}
		}
	})
	settled()
}

const askUpgrade = "GET /raw HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: x\r\nSec-WebSocket-Version: 13\r\n\r\n"

// switched is a backend that switches protocols and then does serve.
func switched(t *testing.T, serve func(*bufio.Reader, *net.TCPConn)) string {
	return rig.Scripted(t, func(c *net.TCPConn) {
		b := bufio.NewReader(c)
		if _, err := http.ReadRequest(b); err != nil {
			return
		}
		_, _ = io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\nfirst")
		serve(b, c)
	})
}

// TestUpgradeHalfClose: after an upgrade each direction ends by itself, and early bytes of both sides aren't lost.
func TestUpgradeHalfClose(t *testing.T) {
	for name, c := range map[string]struct {
		serve func(*bufio.Reader, *net.TCPConn)
		talk  func(*testing.T, *bufio.Reader, *net.TCPConn)
	}{
		"the client ends": {
			func(b *bufio.Reader, c *net.TCPConn) {
				all, _ := io.ReadAll(b)
				_, _ = c.Write(append(all, " is all"...))
			},
			func(t *testing.T, b *bufio.Reader, c *net.TCPConn) {
				_, _ = io.WriteString(c, " and last")
				_ = c.CloseWrite()
				if rest, err := io.ReadAll(b); err != nil || string(rest) != "early and last is all" {
					t.Errorf("%q, %v", rest, err)
				}
			},
		},
		"the server ends": {
			func(b *bufio.Reader, c *net.TCPConn) {
				_ = c.CloseWrite()
				if all, err := io.ReadAll(b); err != nil || string(all) != "early and later" {
					t.Errorf("the server got %q, %v", all, err)
				}
			},
			func(t *testing.T, b *bufio.Reader, c *net.TCPConn) {
				if rest, err := io.ReadAll(b); err != nil || len(rest) > 0 {
					t.Errorf("%q, %v", rest, err)
				}
				if _, err := io.WriteString(c, " and later"); err != nil {
					t.Error(err)
				}
				_ = c.CloseWrite()
			},
		},
		"the server resets": {
			func(b *bufio.Reader, c *net.TCPConn) {
				_, _ = b.Peek(5)
				_ = c.SetLinger(0)
			},
			func(t *testing.T, b *bufio.Reader, _ *net.TCPConn) {
				if rest, err := io.ReadAll(b); err == nil {
					t.Errorf("an end like any other after %q", rest)
				}
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			backend := switched(t, c.serve)
			second := rig.Start(t, rig.To(backend, upgrades, nil))
			client := rig.Start(t, rig.To(second.Address, upgrades, nil)).Dial()
			_, _ = io.WriteString(client, askUpgrade+"early")
			b := bufio.NewReader(client)
			resp, err := http.ReadResponse(b, nil)
			if err != nil || resp.StatusCode != http.StatusSwitchingProtocols || resp.Header.Get("Upgrade") != "websocket" || !strings.EqualFold(resp.Header.Get("Connection"), "upgrade") {
				t.Fatalf("%+v, %v", resp, err)
			}
			first := make([]byte, 5)
			if _, err := io.ReadFull(b, first); err != nil || string(first) != "first" {
				t.Fatalf("%q, %v", first, err)
			}
			c.talk(t, b, client)
		})
	}
}

// TestUpgradesRefused are those nobody has allowed.
func TestUpgradesRefused(t *testing.T) {
	seen := make(chan *http.Request, 1)
	p := rig.Start(t, rig.To(rig.Served(t, func(_ http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/h2c" {
			seen <- r
		}
	}), nil, nil))
	if got := p.Exchange(askUpgrade); !strings.HasPrefix(got, "HTTP/1.1 403 ") {
		t.Errorf("WebSocket: %q", got)
	}
	if got := p.Exchange("CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n"); !strings.HasPrefix(got, "HTTP/1.1 404 ") {
		t.Errorf("CONNECT: %q", got)
	}
	got := p.Exchange("GET /h2c HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n\r\n")
	if !strings.HasPrefix(got, "HTTP/1.1 200 ") {
		t.Fatalf("h2c: %q", got)
	}
	if r := <-seen; r.ProtoMajor != 1 || r.Header.Get("Upgrade") != "" || r.Header.Get("Http2-Settings") != "" {
		t.Errorf("the backend of h2c sees %s %v", r.Proto, r.Header)
	}
	log := strings.Join(p.Log(), "\n")
	for _, want := range []string{"403 - upgrade_failed ", "404 NR route_not_found "} {
		if !strings.Contains(log, want) {
			t.Errorf("no %q in\n%s", want, log)
		}
	}
}
