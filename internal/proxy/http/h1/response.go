package h1

import "github.com/pillion-mesh/pillion/internal/proxy/stream"

// parseResponse reads a response's head at the start of buf. n is its length, or 0 if buf holds only a part of it.
func parseResponse(buf []byte, lim Limits, r *stream.Response, h *head) (n int, err error) {
	*h = head{length: -1}
	n, err = responseHead(buf, lim, r, h)
	if n > lim.Bytes || n == 0 && err == nil && len(buf) >= lim.Bytes {
		return 0, errHeadSize
	}
	if n == 0 || err != nil {
		return 0, err
	}
	if err := h.connectionOptions(&r.Fields); err != nil {
		return 0, err
	}
	r.Length = h.length
	return n, nil
}

func responseHead(buf []byte, lim Limits, r *stream.Response, h *head) (n int, err error) {
	i, err := version(buf, 0, h)
	if i == 0 || err != nil {
		return 0, err
	}
	if len(buf) < i+5 { // blank, status, one more
		return 0, nil
	}
	a, b, c := buf[i+1]-'0', buf[i+2]-'0', buf[i+3]-'0'
	if buf[i] != ' ' || a < 1 || a > 9 || b > 9 || c > 9 || buf[i+4] != ' ' && buf[i+4] != '\r' {
		return 0, errStatusLine
	}
	r.Status = int(a)*100 + int(b)*10 + int(c)
	i += 4
	i += plainLen(buf[i:]) // the reason phrase says nothing to anybody
	if i+1 >= len(buf) && (i == len(buf) || buf[i] == '\r') {
		return 0, nil
	}
	if buf[i] != '\r' || buf[i+1] != '\n' {
		return 0, errCharacters
	}
	return parseFields(buf, i+2, lim, h, &r.Fields, nil)
}
