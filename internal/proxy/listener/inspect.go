package listener

import (
	"context"
	"errors"
	"os"
	"time"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
)

// verdict is what an inspector says of the bytes there are.
type verdict uint8

const (
	more verdict = iota // they may become it, more are needed
	no
	yes
	tooLarge // it would be, but nobody waits for that much
)

// inspectors returns the inspectors to run for a connection to port: those configured for it whose findings somebody
// uses.
func (c *Compiled) inspectors(port uint16) (run needs) {
	wanted := c.needs(port)
	if wanted == 0 {
		return 0
	}
	for i := range c.Config.Inspectors {
		each := &c.Config.Inspectors[i]
		if each.Disabled.Match(port) {
			continue
		}
		switch each.Kind {
		case config.TLSInspector:
			run |= needTLS
		case config.HTTPInspector:
			run |= needHTTP
		case config.OriginalDestination: // every connection's is read
		case config.ProxyProtocolFilter, config.OriginalSourceFilter: // not by peeking at what comes behind a header
		}
	}
	return run & wanted
}

// inspect looks at the first bytes, which stay in the socket, and reports whether the connection goes on.
func (v *visit) inspect(l *Compiled) bool {
	run := l.inspectors(v.facts.Destination.Port())
	if run == 0 {
		return true
	}
	look := sniffer{facts: &v.facts, run: run}
	return v.peekAt(l, look.step) && !look.refused
}

// peekAt shows the first bytes to step within the listener's timeout. It reports whether the connection goes on.
func (v *visit) peekAt(l *Compiled, step func(b []byte, end bool) (need int)) bool {
	stop := context.AfterFunc(v.ctx, func() { _ = v.socket.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	if timeout := l.Config.InspectTimeout; timeout > 0 {
		if v.since.IsZero() {
			v.since = time.Now() // all filters have it together
		}
		_ = v.socket.SetReadDeadline(v.since.Add(timeout))
		defer v.socket.SetReadDeadline(time.Time{}) //nolint:errcheck // a closed socket is noticed by whoever reads it
	}
	v.stats.PreCxActive.Add(1)
	defer v.stats.PreCxActive.Add(-1)
	switch err := peek(v.socket, step); {
	case err == nil:
		return true
	case v.ctx.Err() == nil && errors.Is(err, os.ErrDeadlineExceeded):
		v.stats.PreCxTimeout.Add(1)
		return l.Config.ContinueOnTimeout
	default:
		return false
	}
}

// sniffer runs the inspectors over the first bytes as they grow. Each runs until it knows; TLS comes first and makes
// the other one needless.
type sniffer struct {
	facts   *Facts
	run     needs // left to run
	refused bool
}

// step looks at all bytes there are; end says that no more will come. It returns how many it needs to go on, 0: none.
func (s *sniffer) step(b []byte, end bool) (need int) {
	if s.run&needTLS != 0 {
		if need := s.tls(b); need > 0 && !end {
			return need
		}
	}
	if s.run&needHTTP != 0 {
		if need := s.http(b); need > 0 && !end {
			return need
		}
	}
	return 0
}

func (s *sniffer) tls(b []byte) (need int) {
	hello, verdict, need := parseHello(b)
	switch verdict {
	case more:
		return need
	case yes:
		s.facts.Transport, s.facts.ServerName, s.facts.Protocols = TransportTLS, hello.name, hello.protocols
		s.run = 0
	case tooLarge:
		s.refused, s.run = true, 0
	case no:
		s.run &^= needTLS
	}
	return 0
}

func (s *sniffer) http(b []byte) (need int) {
	protocol, verdict := parseHTTP(b)
	switch verdict {
	case more:
		return len(b) + 1
	case yes:
		s.facts.Protocols = []string{protocol}
	case no, tooLarge:
	}
	s.run &^= needHTTP
	return 0
}
