package h1

import (
	"net/http"
	"strings"

	"github.com/pillion-mesh/pillion/internal/proxy/stream"
)

const maxMethod = 32

// parseRequest reads a request's head at the start of buf. n is its length, or 0 if buf holds only a part of it. r's
// strings are views of buf, whose names become lower case. The errors say how to answer.
func parseRequest(buf []byte, lim Limits, r *stream.Request, h *head) (n int, err error) {
	*h = head{length: -1}
	n, err = requestHead(buf, lim, r, h)
	if n > lim.Bytes || n == 0 && err == nil && len(buf) >= lim.Bytes {
		return 0, errHeadSize
	}
	if n == 0 || err != nil {
		return 0, err
	}
	return n, finishRequest(r, h)
}

func requestHead(buf []byte, lim Limits, r *stream.Request, h *head) (n int, err error) {
	i := 0
	for i < len(buf) && lower[buf[i]] != 0 {
		i++
	}
	if i > maxMethod {
		return 0, errMethod
	}
	if i == len(buf) {
		return 0, nil
	}
	if i == 0 || buf[i] != ' ' {
		return 0, errMethod
	}
	r.Method = view(buf[:i])
	start := i + 1
	for i = start; i < len(buf) && buf[i] > ' ' && buf[i] < 0x7f && buf[i] != '#'; i++ {
	}
	if i == len(buf) {
		return 0, nil
	}
	if i == start || buf[i] != ' ' {
		return 0, errTarget
	}
	r.Path = view(buf[start:i])
	n, err = version(buf, i+1, h)
	if n == 0 || err != nil {
		return 0, err
	}
	if i = n; i+1 >= len(buf) {
		return 0, nil
	}
	if buf[i] != '\r' || buf[i+1] != '\n' {
		return 0, errVersion
	}
	return parseFields(buf, i+2, lim, h, &r.Fields, &r.Authority)
}

// version reads HTTP/1.0 or HTTP/1.1.
func version(buf []byte, i int, h *head) (n int, err error) {
	const name = "HTTP/"
	have := buf[i:min(len(buf), i+8)]
	if p := have[:min(len(have), len(name))]; string(p) != name[:len(p)] {
		return 0, errVersion
	}
	if len(have) < 8 {
		return 0, nil
	}
	major, minor := have[5]-'0', have[7]-'0'
	switch {
	case major > 9 || have[6] != '.' || minor > 9:
		return 0, errVersion
	case major > 1:
		return 0, errNewVersion
	case major < 1 || minor > 1:
		return 0, errVersion
	}
	h.minor = minor
	return i + 8, nil
}

// finishRequest checks what only the whole head shows.
func finishRequest(r *stream.Request, h *head) error {
	if h.hosts > 1 {
		return errTwoHosts
	}
	if err := target(r, h); err != nil {
		return err
	}
	if err := requestFraming(h); err != nil {
		return err
	}
	if h.connection != "" {
		if err := h.connectionOptions(&r.Fields); err != nil {
			return err
		}
	}
	h.teTrailers(&r.Fields)
	r.Length, r.HasBody = h.length, h.length > 0
	if h.encodings > 0 {
		r.HasBody = true
	} else if h.length < 0 {
		r.Length = 0
	}
	if r.HasBody && r.Method == http.MethodConnect {
		return errConnectBody
	}
	requestUpgrade(r, h)
	return nil
}

// requestUpgrade takes the upgrade asked for. HTTP/2 without TLS is not one we offer: the request is served as it is.
// CONNECT asks for something else already.
func requestUpgrade(r *stream.Request, h *head) {
	if !h.upgrading || h.upgrade == "" || h.minor == 0 || r.Method == http.MethodConnect || strings.EqualFold(h.upgrade, "h2c") {
		return
	}
	r.Upgrade = strings.ToLower(h.upgrade)
	r.Fields.Add("upgrade", h.upgrade)
}

// target takes the request target apart (RFC 9112 3.2).
func target(r *stream.Request, h *head) error {
	switch {
	case r.Path[0] == '/' && r.Method != http.MethodConnect:
	case r.Method == http.MethodConnect:
		r.Authority, r.Path = r.Path, ""
		return checkHost(r.Authority)
	case r.Path == "*":
		if r.Method != http.MethodOptions {
			return errTarget
		}
	default:
		if err := absolute(r); err != nil {
			return err
		}
	}
	if h.hosts == 0 && h.minor == 0 {
		return nil // the engine knows the default
	}
	if h.hosts == 0 || r.Authority == "" {
		return errNoHost
	}
	return checkHost(r.Authority)
}

// absolute makes an absolute-form target into path and authority, which replaces Host.
func absolute(r *stream.Request) error {
	scheme, rest, ok := strings.Cut(r.Path, "://")
	if !ok || !strings.EqualFold(scheme, "http") && !strings.EqualFold(scheme, "https") {
		return errTarget
	}
	end := strings.IndexAny(rest, "/?")
	if end < 0 {
		end = len(rest)
	}
	if end == 0 {
		return errTarget
	}
	r.Authority, r.Path = rest[:end], rest[end:]
	if r.Path == "" || r.Path[0] == '?' {
		r.Path = "/" + r.Path
	}
	return checkHost(r.Authority)
}

// hostBytes may stand in an authority: RFC 3986's reg-name, IP literals, a port; no user information.
var hostBytes = func() (t [256]bool) {
	for c := range t {
		t[c] = c > ' ' && c < 0x7f
	}
	for _, c := range `@/?#\"<>^{|}` + "`" {
		t[c] = false
	}
	return t
}()

// PlainHost reports whether a host, with or without a port, can be written into a head without becoming more than that.
func PlainHost(host string) bool { return host != "" && checkHost(host) == nil }

func checkHost(host string) error {
	for i := range len(host) {
		if !hostBytes[host[i]] {
			return errHost
		}
	}
	return nil
}
