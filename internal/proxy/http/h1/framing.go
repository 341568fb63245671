package h1

import (
	"net/http"
	"strings"
)

// requestFraming checks RFC 9112 6.3 for a request: two readings of where it ends are one too many.
func requestFraming(h *head) error {
	switch {
	case h.encodings == 0:
		return nil
	case h.lengths > 0:
		return errBothLengths
	case h.encodings > 1 || h.minor == 0:
		return errEncoding
	case strings.EqualFold(h.encoding, "chunked"):
		return nil
	case endsInChunked(h.encoding):
		return errOtherEncoding
	default:
		return errEncoding
	}
}

func endsInChunked(value string) bool {
	comma := strings.LastIndexByte(value, ',')
	return comma > 0 && strings.EqualFold(strings.Trim(value[comma+1:], " \t"), "chunked")
}

// bodyKind is how a body's end is told.
type bodyKind uint8

const (
	noBody bodyKind = iota
	byLength
	byChunks
	byClose // until the connection ends; also after an upgrade
)

// responseBody tells how the body of an answer to method ends (RFC 9112 6.3).
func responseBody(method string, status int, h *head) (bodyKind, error) {
	if err := requestFraming(h); err != nil {
		return noBody, err
	}
	switch {
	case status == http.StatusSwitchingProtocols, method == http.MethodConnect && status/100 == 2:
		return byClose, nil
	case method == http.MethodHead || bodiless(status):
		return noBody, nil
	case h.encodings > 0:
		return byChunks, nil
	case h.length == 0:
		return noBody, nil
	case h.length > 0:
		return byLength, nil
	default:
		return byClose, nil
	}
}

// bodiless statuses have no body, whatever the head says.
func bodiless(status int) bool {
	return status < 200 || status == http.StatusNoContent || status == http.StatusNotModified
}
