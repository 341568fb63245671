package listener

import (
	"bytes"
)

// What the HTTP inspector calls what it found, as application protocols of chains.
const (
	protocolHTTP10 = "http/1.0"
	protocolHTTP11 = "http/1.1"
	protocolH2C    = "h2c"
)

const (
	maxRequestLine = 8 << 10
	maxMethod      = 32
	http2Preface   = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" // RFC 9113, section 3.4
)

// parseHTTP looks for HTTP/2's preface or a whole HTTP/1 request line in a connection's first bytes. The first byte that
// cannot be in one ends it: `get key\r\n` is memcached.
func parseHTTP(b []byte) (string, verdict) {
	if len(b) >= len(http2Preface) && string(b[:len(http2Preface)]) == http2Preface {
		return protocolH2C, yes
	}
	if len(b) < len(http2Preface) && string(b) == http2Preface[:len(b)] {
		return "", more
	}
	protocol, v := parseRequestLine(b)
	if v == more && len(b) >= maxRequestLine {
		return "", no
	}
	return protocol, v
}

// parseRequestLine reads method, target and version (RFC 9112, section 3).
func parseRequestLine(b []byte) (string, verdict) {
	method := 0
	for method < len(b) && isToken(b[method]) {
		method++
	}
	switch {
	case method > maxMethod:
		return "", no
	case method == len(b):
		return "", more
	case method == 0 || b[method] != ' ':
		return "", no
	}
	return parseTarget(b[method+1:])
}

func parseTarget(b []byte) (string, verdict) {
	n := 0
	for n < len(b) && n < maxRequestLine && b[n] > ' ' && b[n] < 0x7f {
		n++
	}
	switch {
	case n == len(b):
		return "", more
	case n == 0 || b[n] != ' ':
		return "", no
	}
	return parseVersion(b[n+1:])
}

var versionOne = []byte("HTTP/1.")

func parseVersion(b []byte) (string, verdict) {
	n := min(len(b), len(versionOne))
	if !bytes.Equal(b[:n], versionOne[:n]) {
		return "", no
	}
	rest := b[n:]
	switch {
	case len(rest) > 0 && (rest[0] < '0' || rest[0] > '9'):
		return "", no
	case len(rest) > 1 && rest[1] != '\r' && rest[1] != '\n':
		return "", no
	case len(rest) < 2:
		return "", more
	case rest[0] == '0':
		return protocolHTTP10, yes
	}
	return protocolHTTP11, yes
}

// isToken reports whether c may be in a method (RFC 9110, section 5.6.2).
func isToken(c byte) bool {
	switch {
	case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		return true
	}
	return bytes.IndexByte([]byte("!#$%&'*+-.^_`|~"), c) >= 0
}
