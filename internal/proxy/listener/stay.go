package listener

import (
	"time"

	"github.com/pillion-mesh/pillion/internal/proxy/socket"
	"github.com/pillion-mesh/pillion/internal/proxy/stream"
	"github.com/pillion-mesh/pillion/internal/proxy/telemetry"
)

// stay is a connection from its accept to its end. A parked connection costs this much here and no goroutine.
type stay struct {
	acceptor *Acceptor
	socket   *socket.Conn
	start    time.Time
	stats    *telemetry.Listener // of the listener that has the connection now
	owner    *Compiled           // nil: no listener has been found yet
	conn     *stream.Conn        // nil: no chain has been looked for yet
	counted  bool                // among the listener's connections
}

// run lets f serve the connection on this goroutine, and ends it unless f has parked it: then it may be running again
// already when f returns.
func (s *stay) run(f func() (parked bool)) {
	parked := false
	defer func() {
		if !parked {
			s.end()
		}
	}()
	s.acceptor.Guard(func() { parked = f() })
}

// wake is run for who has parked the connection.
func (s *stay) wake(f func() (parked bool)) { go s.run(f) }

func (s *stay) end() {
	defer s.acceptor.conns.Done()
	s.acceptor.Guard(s.tell)
	_ = s.socket.Close()
	s.acceptor.Store.Server.TotalConnections.Add(-1)
}

// tell counts and logs the connection.
func (s *stay) tell() {
	if s.counted {
		s.stats.CxActive.Add(-1)
		s.stats.CxDestroy.Add(1)
		s.stats.CxLengthMs.Record(uint64(max(s.acceptor.Now().Sub(s.start), 0) / time.Millisecond))
	}
	if s.conn != nil {
		s.log(s.owner, s.conn)
	}
}

// log writes the lines of the listener's own logs once the connection has ended.
func (s *stay) log(l *Compiled, c *stream.Conn) {
	if s.acceptor.Logs == nil || len(l.Config.AccessLogs) == 0 {
		return
	}
	l.logsOnce.Do(func() { l.logs = s.acceptor.Logs.For(l.Config.AccessLogs) })
	var x stream.Exchange
	x.Reset(c, c.Start)
	x.Received, x.Sent, x.End = c.Received, c.Sent, s.acceptor.Now().Sub(c.Start)
	l.logs.Log(&x)
}
