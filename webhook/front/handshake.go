package front

import (
	"crypto/tls"
	"errors"
	"io"
	"time"
)

// shakeHands is false if it failed, and has told of it as net/http does: others read that.
func (c *conn) shakeHands() bool {
	_ = c.raw.SetDeadline(time.Now().Add(c.server.HTTP.ReadHeaderTimeout))
	if err := c.tls.HandshakeContext(c.ctx); err != nil {
		if wrong, is := errors.AsType[tls.RecordHeaderError](err); is && wrong.Conn != nil && isHTTP(wrong.RecordHeader) {
			_, _ = io.WriteString(wrong.Conn, "HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n")
			err = errors.New("client sent an HTTP request to an HTTPS server")
		}
		c.log("http: TLS handshake error from %s: %v", c.raw.RemoteAddr(), err)
		return false
	}
	_ = c.raw.SetDeadline(time.Time{})
	return true
}

func isHTTP(start [5]byte) bool {
	switch string(start[:]) {
	case "GET /", "HEAD ", "POST ", "PUT /", "OPTIO":
		return true
	}
	return false
}
