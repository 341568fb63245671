package listener

import (
	"bytes"
	"crypto/tls"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"testing"
)

// clientHello returns what crypto/tls sends first.
func clientHello(t testing.TB, c *tls.Config) []byte {
	t.Helper()
	here, there := net.Pipe()
	defer there.Close()
	go func() { _ = tls.Client(here, c).Handshake(); here.Close() }()
	var hello []byte
	for {
		header := make([]byte, recordHeader)
		if _, err := io.ReadFull(there, header); err != nil {
			t.Fatal(err)
		}
		payload := make([]byte, binary.BigEndian.Uint16(header[3:]))
		if _, err := io.ReadFull(there, payload); err != nil {
			t.Fatal(err)
		}
		hello = append(append(hello, header...), payload...)
		if message, v, _ := helloMessage(hello); v == yes && len(message) > 0 {
			return hello
		}
	}
}

// fragmented puts a ClientHello of one or more records into records of at most size bytes.
func fragmented(hello []byte, size int) (out []byte) {
	message, _, _ := helloMessage(hello)
	for len(message) > 0 {
		n := min(size, len(message))
		out = append(out, recordHandshake, 3, 1, byte(n>>8), byte(n))
		out = append(out, message[:n]...)
		message = message[n:]
	}
	return out
}

func manyProtocols(n int) (list []string) {
	for i := range n {
		list = append(list, fmt.Sprintf("%s-%d", strings.Repeat("p", 240), i))
	}
	return list
}

func TestParseHello(t *testing.T) {
	many := manyProtocols(200)
	usual := clientHello(t, &tls.Config{ServerName: "Outbound_.80_._.Shop.example", NextProtos: []string{"istio-peer-exchange", "istio"}})
	for _, c := range []struct {
		name      string
		bytes     []byte
		server    string
		protocols []string
	}{
		{"usual", usual, "outbound_.80_._.shop.example", []string{"istio-peer-exchange", "istio"}},
		{"in pieces", fragmented(usual, 100), "outbound_.80_._.shop.example", []string{"istio-peer-exchange", "istio"}},
		{"1.2, nothing asked", clientHello(t, &tls.Config{InsecureSkipVerify: true, MaxVersion: tls.VersionTLS12}), "", nil},
		{"several records", clientHello(t, &tls.Config{ServerName: "a.b", NextProtos: many}), "a.b", many},
	} {
		h, v, _ := parseHello(c.bytes)
		if v != yes || h.name != c.server || !slices.Equal(h.protocols, c.protocols) {
			t.Errorf("%s: verdict %d, %q, %d protocols", c.name, v, h.name, len(h.protocols))
		}
		for n := range c.bytes { // every beginning of it wants more, and says how much
			if _, v, need := parseHello(c.bytes[:n]); v != more || need <= n || need > len(c.bytes) {
				t.Fatalf("%s: %d of %d bytes: verdict %d, needs %d", c.name, n, len(c.bytes), v, need)
			}
		}
	}
}

func TestNotHello(t *testing.T) {
	usual := clientHello(t, &tls.Config{ServerName: "a.b"})
	change := func(at int, to byte) []byte { b := bytes.Clone(usual); b[at] = to; return b }
	for _, c := range []struct {
		name  string
		bytes []byte
		want  verdict
	}{
		{"HTTP", []byte("G"), no},
		{"another record", change(0, 23), no},
		{"version 0.x", change(1, 0)[:2], no},
		{"empty record", []byte{22, 3, 1, 0, 0}, no},
		{"record of 20 KiB", []byte{22, 3, 1, 0x50, 0}, no},
		{"ServerHello", change(5, 2)[:6], no},
		{"session id too long", change(43, 255), no},
		{"1 MiB", []byte{22, 3, 1, 0x40, 0, 1, 0x10, 0, 0}, tooLarge},
		{"1-byte records", fragmented(clientHello(t, &tls.Config{ServerName: "a.b"}), 1), tooLarge},
	} {
		if _, v, _ := parseHello(c.bytes); v != c.want {
			t.Errorf("%s: verdict %d, want %d", c.name, v, c.want)
		}
	}
}

func TestParseHTTP(t *testing.T) {
	for _, c := range []struct {
		text, protocol string
		want           verdict
	}{
		{"GET / HTTP/1.1\r\n", "http/1.1", yes}, {"GET / HTTP/1.1\n", "http/1.1", yes},
		{"GET / HTTP/1.0\r\n", "http/1.0", yes}, {"brew /pot HTTP/1.1\r\n", "http/1.1", yes},
		{"OPTIONS * HTTP/1.1\r\nHost", "http/1.1", yes}, {"CONNECT a:443 HTTP/1.1\r\n", "http/1.1", yes},
		{http2Preface, "h2c", yes}, {http2Preface + "more", "h2c", yes}, {"PRI * HTTP/1.1\r\n", "http/1.1", yes},
		{"", "", more}, {"G", "", more}, {"GET ", "", more}, {"GET /a", "", more}, {"GET / HTTP/1.1", "", more}, {"PRI * HTTP/2.0\r\n", "", more},
		{"GET /" + strings.Repeat("a", maxRequestLine), "", no},
		{strings.Repeat("A", maxMethod+1), "", no},
		{"get key\r\n", "", no}, {"GET /\r\n", "", no}, {"GET  / HTTP/1.1\r\n", "", no}, {" GET", "", no}, {"\r\nGET", "", no},
		{"GET / HTTP/2.0\r\n", "", no}, {"GET / HTTP/1.x", "", no}, {"GET / HTTP/1.12", "", no}, {"GET / FTP", "", no},
		{"*1\r\n$4\r\nPING", "", no}, {"\x16\x03\x01", "", no}, {"\x00", "", no}, {"GET /\x7f", "", no}, {"PRI * HTTP/2.0\r\n\r\nXX", "", no},
	} {
		if protocol, v := parseHTTP([]byte(c.text)); protocol != c.protocol || v != c.want {
			t.Errorf("%.40q: %q, verdict %d, want %q, %d", c.text, protocol, v, c.protocol, c.want)
		}
	}
}

// FuzzHello: whatever comes, the parser ends, asks only for more than it has, and reads a hello in pieces as it reads
// it whole.
func FuzzHello(f *testing.F) {
	usual := clientHello(f, &tls.Config{ServerName: "a.example", NextProtos: []string{"h2"}})
	f.Add(usual, 7)
	f.Add(fragmented(usual, 50), 50)
	f.Fuzz(func(t *testing.T, b []byte, size int) {
		whole, v, need := parseHello(b)
		if v == more && need <= len(b) {
			t.Fatalf("needs %d of %d bytes", need, len(b))
		}
		message, _, _ := helloMessage(b)
		size = max(size, len(message)/(maxRecords-1)+1)
		if v != yes || size > maxRecord {
			return
		}
		pieces, again, _ := parseHello(fragmented(b, size))
		if again != yes || pieces.name != whole.name || !slices.Equal(pieces.protocols, whole.protocols) {
			t.Fatalf("in pieces of %d: verdict %d, %q", size, again, pieces.name)
		}
	})
}

// FuzzHTTP: a verdict, once given, doesn't change when more bytes come.
func FuzzHTTP(f *testing.F) {
	f.Add([]byte("GET / HTTP/1.1\r\n"), []byte("Host: a\r\n"))
	f.Add([]byte(http2Preface), []byte{0})
	f.Fuzz(func(t *testing.T, b, rest []byte) {
		first, v := parseHTTP(b)
		if v == more {
			return
		}
		if again, then := parseHTTP(append(bytes.Clone(b), rest...)); again != first || then != v {
			t.Fatalf("%q is %q (%d), with %q it is %q (%d)", b, first, v, rest, again, then)
		}
	})
}

func BenchmarkHello(b *testing.B) {
	usual := clientHello(b, &tls.Config{ServerName: "outbound_.80_._.shop.example", NextProtos: []string{"istio-peer-exchange", "istio"}})
	b.ReportAllocs()
	for b.Loop() {
		if _, v, _ := parseHello(usual); v != yes {
			b.Fatal("not a hello")
		}
	}
}

func BenchmarkHTTP(b *testing.B) {
	line := []byte("GET /productpage?u=normal HTTP/1.1\r\nHost: a\r\n")
	b.ReportAllocs()
	for b.Loop() {
		if _, v := parseHTTP(line); v != yes {
			b.Fatal("not HTTP")
		}
	}
}
