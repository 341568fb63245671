package listener

import (
	"encoding/binary"
	"strings"
)

// hello is what a ClientHello says that chains are chosen by.
type hello struct {
	name      string   // server name in lower case
	protocols []string // ALPN
}

// Of TLS records and handshakes (RFC 8446, sections 4 and 5.1).
const (
	recordHeader    = 5
	recordHandshake = 22
	maxRecord       = 16 << 10
	maxRecords      = 128 // one may be a single byte: a bound on what is put together again and again
	messageHeader   = 4
	messageHello    = 1
	extensionName   = 0
	extensionALPN   = 16
)

// parseHello looks for a ClientHello in a connection's first bytes. With the verdict more it also returns how many
// bytes it needs.
func parseHello(b []byte) (h hello, v verdict, need int) {
	message, v, need := helloMessage(b)
	if v != yes {
		return h, v, need
	}
	if !h.parse(message) {
		return hello{}, no, 0
	}
	return h, yes, 0
}

// helloMessage puts the message together from the records it is in. It is a view of b if it is in one.
func helloMessage(b []byte) (message []byte, v verdict, need int) {
	var joined []byte
	position := 0
	for range maxRecords {
		length, v := recordLength(b[position:])
		if v != yes {
			return nil, v, position + recordHeader
		}
		end := position + recordHeader + length
		payload := b[position+recordHeader : min(end, len(b))]
		if v := helloStarts(joined, payload); v != yes {
			return nil, v, 0
		}
		switch {
		case end > maxPeek:
			return nil, tooLarge, 0
		case end > len(b):
			return nil, more, end
		}
		if joined == nil {
			joined = payload[:len(payload):len(payload)]
		} else {
			joined = append(joined, payload...)
		}
		if whole, ok := firstMessage(joined); ok {
			return whole, yes, 0
		}
		position = end
	}
	return nil, tooLarge, 0
}

// recordLength reads a record's header.
func recordLength(b []byte) (int, verdict) {
	switch {
	case len(b) > 0 && b[0] != recordHandshake, len(b) > 1 && b[1] != 3:
		return 0, no
	case len(b) < recordHeader:
		return 0, more
	}
	length := int(binary.BigEndian.Uint16(b[3:]))
	if length == 0 || length > maxRecord {
		return 0, no
	}
	return length, yes
}

// helloStarts looks at the message's own header as early as it can.
func helloStarts(joined, payload []byte) verdict {
	start := payload
	if len(joined) > 0 {
		start = joined
	}
	switch {
	case len(start) > 0 && start[0] != messageHello:
		return no
	case len(start) >= messageHeader && messageLength(start) > maxPeek-recordHeader:
		return tooLarge
	}
	return yes
}

// messageLength is the length a message's header tells, with the header.
func messageLength(b []byte) int {
	return messageHeader + int(b[1])<<16 + int(b[2])<<8 + int(b[3])
}

func firstMessage(b []byte) ([]byte, bool) {
	if len(b) < messageHeader || len(b) < messageLength(b) {
		return nil, false
	}
	return b[:messageLength(b)], true
}

// parse takes a whole ClientHello apart (RFC 8446, section 4.1.2).
func (h *hello) parse(message []byte) bool {
	c := cursor(message[messageHeader:])
	_, fixed := c.take(2 + 32) // version, random
	_, session := c.list8()
	_, ciphers := c.list16()
	_, compression := c.list8()
	if !fixed || !session || !ciphers || !compression {
		return false
	}
	if len(c) == 0 {
		return true // TLS 1.2 may have no extensions
	}
	extensions, ok := c.list16()
	if !ok {
		return false
	}
	return h.extensions(extensions)
}

func (h *hello) extensions(c cursor) bool {
	for len(c) > 0 {
		kind, ok := c.uint16()
		if !ok {
			return false
		}
		body, ok := c.list16()
		if !ok || !h.extension(kind, body) {
			return false
		}
	}
	return true
}

func (h *hello) extension(kind uint16, body cursor) bool {
	switch kind {
	case extensionName:
		return h.serverName(body)
	case extensionALPN:
		return h.alpn(body)
	}
	return true
}

// serverName takes the first host_name (RFC 6066, section 3).
func (h *hello) serverName(body cursor) bool {
	list, ok := body.list16()
	if !ok {
		return false
	}
	for len(list) > 0 {
		kind, ok := list.take(1)
		if !ok {
			return false
		}
		name, ok := list.list16()
		if !ok {
			return false
		}
		if kind[0] == 0 && h.name == "" {
			h.name = strings.ToLower(string(name))
		}
	}
	return true
}

func (h *hello) alpn(body cursor) bool {
	list, ok := body.list16()
	if !ok {
		return false
	}
	for len(list) > 0 {
		protocol, ok := list.list8()
		if !ok || len(protocol) == 0 {
			return false
		}
		h.protocols = append(h.protocols, string(protocol))
	}
	return true
}

// cursor reads TLS's vectors.
type cursor []byte

func (c *cursor) take(n int) (cursor, bool) {
	if len(*c) < n {
		return nil, false
	}
	taken := (*c)[:n]
	*c = (*c)[n:]
	return taken, true
}

func (c *cursor) uint16() (uint16, bool) {
	b, ok := c.take(2)
	if !ok {
		return 0, false
	}
	return binary.BigEndian.Uint16(b), true
}

// list8 and list16 take a vector behind a length of one or two bytes.
func (c *cursor) list8() (cursor, bool) {
	n, ok := c.take(1)
	if !ok {
		return nil, false
	}
	return c.take(int(n[0]))
}

func (c *cursor) list16() (cursor, bool) {
	n, ok := c.uint16()
	if !ok {
		return nil, false
	}
	return c.take(int(n))
}
