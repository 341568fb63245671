package front

import (
	"bytes"
	"strconv"
	"strings"
)

// head is what a plain request says before its body.
type head struct {
	path, query string
	contentType string
	length      int64
	size        int // of the head itself, in bytes
}

// parseHead reads the head of a plain request: HTTP/1.1 (RFC 9112) with the fields API servers send, each in the spelling
// of Go's client, and a body whose length is told. plain is false for everything else, whether it's wrong or only
// unusual; whole is false while the end isn't there yet.
func parseHead(b []byte) (h head, whole, plain bool) {
	end := bytes.Index(b, []byte("\r\n\r\n"))
	if end < 0 {
		return h, false, len(b) < maxHead
	}
	text := string(b[:end])
	h.size = end + 4
	line, fields, _ := strings.Cut(text, "\r\n")
	if h.size > maxHead || !h.requestLine(line) {
		return h, true, false
	}
	return h, true, h.fields(fields)
}

// requestLine takes `POST /path?query HTTP/1.1`.
func (h *head) requestLine(line string) bool {
	const method, version = "POST ", " HTTP/1.1"
	if !strings.HasPrefix(line, method+"/") || !strings.HasSuffix(line, version) {
		return false
	}
	target := line[len(method) : len(line)-len(version)]
	h.path, h.query, _ = strings.Cut(target, "?")
	return only(h.path, "/-._~") && only(h.query, "=-._~&")
}

// only says that text has letters, digits and these characters: nothing that would have to be decoded.
func only(text, more string) bool {
	for i := range len(text) {
		c := text[i]
		if (c|0x20 < 'a' || c|0x20 > 'z') && (c < '0' || c > '9') && strings.IndexByte(more, c) < 0 {
			return false
		}
	}
	return true
}

// Fields of a plain request, by their place in what was seen.
const (
	fieldHost = 1 << iota
	fieldLength
	fieldType
	fieldOther // may come several times
)

func fieldNamed(name string) uint {
	switch name {
	case "Host":
		return fieldHost
	case "Content-Length":
		return fieldLength
	case "Content-Type":
		return fieldType
	case "User-Agent", "Accept", "Accept-Encoding", "Authorization", "Traceparent", "Tracestate", "Baggage":
		return fieldOther
	}
	return 0
}

func (h *head) fields(text string) bool {
	var seen uint
	for text != "" {
		var line string
		line, text, _ = strings.Cut(text, "\r\n")
		name, value, found := strings.Cut(line, ": ")
		field := fieldNamed(name)
		if !found || field == 0 || seen&field&^fieldOther != 0 || !printable(value) {
			return false
		}
		seen |= field
		if !h.set(field, value) {
			return false
		}
	}
	const needed = fieldHost | fieldLength
	return seen&needed == needed
}

func (h *head) set(field uint, value string) bool {
	switch field {
	case fieldHost:
		return value != "" && only(value, ".-:[]")
	case fieldType:
		h.contentType = value
	case fieldLength:
		n, err := strconv.ParseUint(value, 10, 31)
		h.length = int64(n)
		return err == nil && only(value, "")
	}
	return true
}

// printable says that text is visible ASCII and spaces within it.
func printable(text string) bool {
	for i := range len(text) {
		if c := text[i]; c < ' ' || c > '~' {
			return false
		}
	}
	return text == strings.TrimSpace(text)
}
