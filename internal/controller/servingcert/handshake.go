package servingcert

import (
	"log" //nolint:depguard // http.Server.ErrorLog wants one
	"strings"
	"time"
)

// Reasons of failed handshakes, as the metric has them.
const (
	handshakeBadCertificate   = "bad_certificate"
	handshakeUnknownAuthority = "unknown_authority"
	handshakeEOF              = "eof"
	handshakeOther            = "other"
)

// ErrorLog is http.Server's, the only place that tells of failed handshakes. An API server that doesn't trust us calls
// for a look at the bundles at once.
func (c *Controller) ErrorLog() *log.Logger { return log.New(handshakes{c}, "", 0) }

type handshakes struct{ c *Controller }

func (h handshakes) Write(line []byte) (int, error) {
	text := strings.TrimSpace(string(line))
	reason := handshakeReason(text)
	if reason == "" {
		h.c.Log.Info("webhook server", "message", text)
		return len(line), nil
	}
	h.c.metrics.handshakes.WithLabelValues(reason).Inc()
	h.c.Log.V(1).Info("TLS handshake failed", "reason", reason, "message", text)
	if reason == handshakeBadCertificate || reason == handshakeUnknownAuthority {
		h.c.distrusted()
	}
	return len(line), nil
}

// alarmSpacing is how often handshakes may call for a look: whoever reaches the port can make one fail.
const alarmSpacing = time.Second

// distrusted calls for a look at the Secret and the bundles.
func (c *Controller) distrusted() {
	now, last := c.Now(), c.alarm.Load()
	if last != nil && now.Sub(*last) < alarmSpacing && !now.Before(*last) || !c.alarm.CompareAndSwap(last, &now) {
		return // API servers try again, and so does the next look without a reason
	}
	c.Wake()
	c.Changed()
}

// handshakeReason classifies net/http's line; "" means that it is about something else. There is no typed form of it.
func handshakeReason(line string) string {
	if !strings.Contains(line, "TLS handshake error") {
		return ""
	}
	switch {
	case strings.Contains(line, "bad certificate"), strings.Contains(line, "certificate expired"):
		return handshakeBadCertificate
	case strings.Contains(line, "unknown certificate authority"):
		return handshakeUnknownAuthority
	case strings.HasSuffix(line, "EOF"):
		return handshakeEOF
	}
	return handshakeOther
}
