package filter

import (
	"strings"

	"github.com/pillion-mesh/pillion/internal/proxy/stream"
)

// Changeable keeps fields that frame a message, or name its target, out of a service's reach. name is in lower case.
func Changeable(name string) bool {
	switch name {
	case "", "host", "content-length", "transfer-encoding", "connection", "upgrade", "te", "trailer", "keep-alive", "proxy-connection":
		return false
	}
	return name[0] != ':'
}

// Writable reports whether a field that a service wants to have can be written at all: its name is a token in lower case
// (RFC 9110 5.6.2), its value has no end of line, and it doesn't change the framing.
func Writable(f stream.Field) bool {
	for i := range len(f.Name) {
		c := f.Name[i]
		if c <= ' ' || c >= 0x7f || c >= 'A' && c <= 'Z' || strings.IndexByte(`"(),/:;<=>?@[\]{}`, c) >= 0 {
			return false
		}
	}
	return Changeable(f.Name) && !strings.ContainsAny(f.Value, "\r\n\x00")
}
