package h1

import (
	"net/http"
	"strconv"

	"github.com/pillion-mesh/pillion/internal/proxy/stream"
)

// requestPlan tells how a request's body is framed.
func requestPlan(r *stream.Request, end bool) (chunk bool, length int64) {
	switch {
	case r.Upgrade != "" || r.Method == http.MethodConnect:
		return false, -1
	case end || !r.HasBody:
		return false, 0
	case r.Length >= 0:
		return false, r.Length
	default:
		return true, -1
	}
}

// appendRequest writes a request's head.
func appendRequest(b []byte, r *stream.Request, chunk bool, length int64) []byte {
	b = append(b, r.Method...)
	b = append(b, ' ')
	if r.Method == http.MethodConnect && r.Path == "" {
		b = append(b, r.Authority...)
	} else {
		b = append(b, r.Path...)
	}
	b = append(b, " HTTP/1.1\r\nhost: "...)
	b = append(b, r.Authority...)
	b = append(b, lineEnd...)
	b = appendFields(b, &r.Fields)
	switch {
	case r.Upgrade != "":
		b = append(b, "connection: upgrade\r\n"...)
	case chunk:
		b = append(b, "transfer-encoding: chunked\r\n"...)
	case length > 0 || length == 0 && wantsLength(r.Method, &r.Fields):
		b = appendLength(b, length)
	}
	return append(b, lineEnd...)
}

// wantsLength are methods whose requests say that they have no body (RFC 9110 8.6), and requests that said it before.
func wantsLength(method string, f *stream.Fields) bool {
	switch method {
	case http.MethodPost, http.MethodPut, http.MethodPatch:
		return true
	}
	_, told := f.Get("content-length")
	return told
}

func appendLength(b []byte, length int64) []byte {
	b = append(b, "content-length: "...)
	b = strconv.AppendInt(b, length, 10)
	return append(b, lineEnd...)
}

// appendFields writes fields but those that frame the message, which the codec writes itself.
func appendFields(b []byte, f *stream.Fields) []byte {
	for i := range f.Len() {
		field := f.At(i)
		switch field.Name {
		case "content-length", "transfer-encoding", "connection", "host":
			continue
		}
		b = appendField(b, field.Name, field.Value)
	}
	return b
}

// answer is what the head of a response depends on besides itself.
type answer struct {
	method string
	minor  byte // of the client's version
	close  bool // the connection ends after it
	end    bool // there is no body
}

// responsePlan tells how a response's body is framed. ends: only the connection's end can tell where it ends.
func (a *answer) responsePlan(r *stream.Response) (chunk bool, length int64, ends bool) {
	switch {
	case r.Status == http.StatusSwitchingProtocols, a.method == http.MethodConnect && r.Status/100 == 2:
		return false, -1, true
	case a.method == http.MethodHead || bodiless(r.Status):
		return false, 0, false
	case a.end:
		return false, 0, false
	case r.Length >= 0:
		return false, r.Length, false
	case a.minor == 0:
		return false, -1, true
	default:
		return true, -1, false
	}
}

// appendResponse writes a response's head.
func (a *answer) appendResponse(b []byte, r *stream.Response, chunk bool, length int64) []byte {
	b = append(b, "HTTP/1.1 "...)
	b = strconv.AppendInt(b, int64(r.Status), 10)
	b = append(b, ' ')
	b = append(b, http.StatusText(r.Status)...)
	b = append(b, lineEnd...)
	b = appendFields(b, &r.Fields)
	switch {
	case r.Status == http.StatusSwitchingProtocols:
		return append(b, "connection: upgrade\r\n\r\n"...)
	case r.Status < 200 || a.method == http.MethodConnect && r.Status/100 == 2:
		return append(b, lineEnd...)
	case chunk:
		b = append(b, "transfer-encoding: chunked\r\n"...)
	case a.method == http.MethodHead || r.Status == http.StatusNotModified:
		if r.Length >= 0 {
			b = appendLength(b, r.Length)
		}
	case length >= 0 && r.Status != http.StatusNoContent:
		b = appendLength(b, length)
	}
	if a.close {
		b = append(b, "connection: close\r\n"...)
	} else if a.minor == 0 {
		b = append(b, "connection: keep-alive\r\n"...)
	}
	return append(b, lineEnd...)
}
