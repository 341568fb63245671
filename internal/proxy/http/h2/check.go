package h2

import (
	"net/http"
	"strings"
)

// The classes a byte can have.
const (
	inName      = 1 << iota // of a field: a token without upper case
	inToken                 // of a method
	inValue                 // of a field
	inTarget                // of a path
	inAuthority             // of a host with port
)

var classes = classify()

func classify() (t [256]uint8) {
	for b := range 256 {
		c := byte(b)
		alnum := c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
		if alnum || strings.IndexByte("!#$%&'*+-.^_`|~", c) >= 0 {
			t[b] |= inToken
			if c < 'A' || c > 'Z' {
				t[b] |= inName
			}
		}
		if c == '\t' || c >= 0x20 && c != 0x7f {
			t[b] |= inValue
		}
		if c > 0x20 && c < 0x7f && c != '#' {
			t[b] |= inTarget
			if strings.IndexByte(`@/?#\`, c) < 0 {
				t[b] |= inAuthority
			}
		}
	}
	return t
}

func all(s string, class uint8) bool {
	for i := range len(s) {
		if classes[s[i]]&class == 0 {
			return false
		}
	}
	return true
}

func validName(s string) bool { return s != "" && all(s, inName) }

func validValue(s string) bool {
	if s == "" {
		return true
	}
	return !blank(s[0]) && !blank(s[len(s)-1]) && all(s, inValue)
}

func blank(b byte) bool { return b == ' ' || b == '\t' }

// maxMethod is the longest method we pass on, in bytes.
const maxMethod = 32

// checkRequest holds a whole head against RFC 9113 section 8.3.1 and what HTTP/1.1 could not carry.
func (m *message) checkRequest(allowConnect bool) {
	switch {
	case m.wrong != "":
	case m.method == "" || len(m.method) > maxMethod || !all(m.method, inToken):
		m.refuse("method")
	case m.protocol != "" && !(allowConnect && m.method == http.MethodConnect):
		m.refuse("pseudo_header")
	case m.method == http.MethodConnect && m.protocol == "":
		if m.pseudo != pseudoMethod|pseudoAuthority || m.authority == "" || m.length > 0 {
			m.refuse("pseudo_header")
		}
		m.length = -1
	default:
		m.checkTarget()
	}
	m.checkHost()
}

func (m *message) checkTarget() {
	const need = pseudoMethod | pseudoScheme | pseudoPath
	switch {
	case m.pseudo&need != need || m.scheme == "":
		m.refuse("pseudo_header")
	case !(strings.HasPrefix(m.path, "/") || m.path == "*" && m.method == http.MethodOptions) || !all(m.path, inTarget):
		m.refuse("path")
	}
}

// checkHost lets host and :authority be one.
func (m *message) checkHost() {
	switch {
	case m.authority == "":
		m.authority = m.host
	case m.host != "" && !strings.EqualFold(m.host, m.authority):
		m.refuse("host")
	}
	if m.authority == "" || !all(m.authority, inAuthority) {
		m.refuse("authority")
	}
}

// checkResponse holds the head of an answer against RFC 9113 section 8.3.2.
func (m *message) checkResponse() {
	if m.status == 0 || m.status == 101 {
		m.refuse("status")
	}
}
