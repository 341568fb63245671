package h2

import (
	"strconv"
	"strings"
	"sync"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
	"github.com/pillion-mesh/pillion/internal/proxy/stream"
)

// message is a head or a trailer section while it is decoded: an hpack.Sink that checks each field as it comes.
type message struct {
	request     bool
	isTrailers  bool
	underscores config.Underscores
	maxBytes    uint32
	maxFields   uint32

	method, scheme, authority, path, protocol string
	status                                    int
	pseudo                                    uint8 // which were there
	fields                                    stream.Fields
	host                                      string
	cookies                                   []string
	length                                    int64 // -1: not told

	bytes, count uint32 // so far
	regular      bool   // a field without colon was there
	wrong        string // the first rule that was broken, as details name it; empty: none
}

// The pseudo-headers.
const (
	pseudoMethod = 1 << iota
	pseudoScheme
	pseudoAuthority
	pseudoPath
	pseudoProtocol
	pseudoStatus
)

var messages = sync.Pool{New: func() any { return new(message) }}

// newMessage returns a message for the next block.
func (o *Options) newMessage(request, trailers bool) *message {
	m := messages.Get().(*message)
	m.request, m.isTrailers, m.underscores = request, trailers, o.Underscores
	m.maxBytes, m.maxFields, m.length = o.MaxHeadBytes, o.MaxHeaders, -1
	return m
}

func (m *message) free() {
	m.fields.Clear()
	clear(m.cookies)
	*m = message{fields: m.fields, cookies: m.cookies[:0]}
	messages.Put(m)
}

// tooLarge reports whether the head is over a limit. What came later isn't in it.
func (m *message) tooLarge() bool { return m.bytes > m.maxBytes || m.count > m.maxFields }

func (m *message) refuse(rule string) {
	if m.wrong == "" {
		m.wrong = rule
	}
}

// Field takes the next field of the block. The entry overhead of HPACK counts, as in SETTINGS_MAX_HEADER_LIST_SIZE.
func (m *message) Field(name, value string) {
	if m.tooLarge() {
		return
	}
	m.bytes += uint32(min(len(name)+len(value)+32, 1<<24))
	m.count++
	switch {
	case m.tooLarge() || m.wrong != "":
	case !validValue(value):
		m.refuse("field_value")
	case strings.HasPrefix(name, ":"):
		m.pseudoField(name, value)
	default:
		m.regular = true
		m.regularField(name, value)
	}
}

func (m *message) pseudoField(name, value string) {
	var bit uint8
	switch name {
	case ":method":
		bit, m.method = pseudoMethod, value
	case ":scheme":
		bit, m.scheme = pseudoScheme, value
	case ":authority":
		bit, m.authority = pseudoAuthority, value
	case ":path":
		bit, m.path = pseudoPath, value
	case ":protocol":
		bit, m.protocol = pseudoProtocol, value
	case ":status":
		bit, m.status = pseudoStatus, parseStatus(value)
	}
	known := bit != 0 && !m.isTrailers && m.request == (bit != pseudoStatus)
	if !known || m.regular || m.pseudo&bit != 0 {
		m.refuse("pseudo_header")
	}
	m.pseudo |= bit
}

func (m *message) regularField(name, value string) {
	if !validName(name) {
		m.refuse("field_name")
		return
	}
	switch name {
	case "connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade":
		m.refuse("connection_header")
		return
	case "te":
		if value != "trailers" {
			m.refuse("te")
		}
	}
	switch {
	case m.isTrailers:
		m.trailer(name, value)
	case m.underscores != config.UnderscoresAllow && strings.IndexByte(name, '_') >= 0:
		m.underscore()
	default:
		m.headField(name, value)
	}
}

func (m *message) underscore() {
	if m.underscores == config.UnderscoresReject {
		m.refuse("unexpected_underscore")
	}
}

func (m *message) headField(name, value string) {
	switch name {
	case "content-length":
		m.contentLength(value)
	case "host":
		if !m.request {
			m.fields.Add(name, value)
		} else if m.host != "" && m.host != value {
			m.refuse("host")
		}
		m.host = value
	case "cookie":
		if m.request {
			m.cookies = append(m.cookies, value)
			return
		}
		m.fields.Add(name, value)
	default:
		m.fields.Add(name, value)
	}
}

// contentLength notes the length. The field stays among the others for matchers; writers write Length instead.
func (m *message) contentLength(value string) {
	n, ok := parseLength(value)
	if !ok || m.length >= 0 {
		m.refuse("content_length")
	}
	m.length = n
	m.fields.Add("content-length", value)
}

// trailer keeps a trailer unless it would change the framing, the routing or who is who after these were decided.
func (m *message) trailer(name, value string) {
	switch name {
	case "content-length", "host", "te", "trailer", "authorization", "proxy-authorization", "cookie", "set-cookie",
		"content-encoding", "content-type", "content-range", "cache-control", "expect", "max-forwards", "range":
	default:
		if m.underscores == config.UnderscoresAllow || strings.IndexByte(name, '_') < 0 {
			m.fields.Add(name, value)
		}
	}
}

func parseStatus(s string) int {
	n, err := strconv.Atoi(s)
	if err != nil || len(s) != 3 || n < 100 || n > 599 {
		return 0
	}
	return n
}

func parseLength(s string) (int64, bool) {
	if s == "" || s[0] < '0' || s[0] > '9' {
		return -1, false // Parse takes signs
	}
	n, err := strconv.ParseInt(s, 10, 64)
	return n, err == nil
}

// addCookies joins the crumbs of a cookie, RFC 9113 section 8.2.3: behind us nobody may know them.
func (m *message) addCookies(f *stream.Fields) {
	switch len(m.cookies) {
	case 0:
	case 1:
		f.Add("cookie", m.cookies[0])
	default:
		f.Add("cookie", strings.Join(m.cookies, "; "))
	}
}
