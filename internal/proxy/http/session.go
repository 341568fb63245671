package http

import (
	"sync/atomic"
	"time"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
	"github.com/pillion-mesh/pillion/internal/proxy/http/route"
	"github.com/pillion-mesh/pillion/internal/proxy/stream"
	"github.com/pillion-mesh/pillion/internal/proxy/telemetry"
	"github.com/pillion-mesh/pillion/internal/proxy/upstream"
)

// session is what the requests of one client's connection have in common, with what the last one found: the usual next
// one finds the same.
type session struct {
	engine *Engine
	m      *manager
	conn   *stream.Conn
	stats  *telemetry.HTTPShard
	began  time.Time
	xfcc   string // what x-forwarded-client-cert says of this client

	last  atomic.Pointer[target]
	calls atomic.Int64 // requests so far
	cut   bool         // closed because its chain was removed; under Engine.mu
}

// inbound implements conn.
func (s *session) inbound() bool { return s.conn.Direction == config.Inbound }

// client implements conn.
func (s *session) client() *session { return s }

// target is a cluster with its counters for this connection.
type target struct {
	name    string
	cluster *upstream.Cluster
	stats   *telemetry.ClusterShard
}

func newSession(e *Engine, m *manager, conn *stream.Conn) *session {
	s := &session{engine: e, m: m, conn: conn, stats: m.stats.Shard(conn.ID), began: time.Now()}
	s.xfcc = route.ClientCertElement(m.cfg, conn.TLS)
	m.stats.CxTotal.Add(1)
	m.stats.CxActive.Add(1)
	return s
}

func (s *session) end() {
	s.m.stats.CxActive.Add(-1)
	s.m.stats.CxDestroy.Add(1)
	s.m.users.Add(-1)
	if s.conn.Left != nil {
		s.conn.Left()
	}
}

// aged reports whether the connection has lasted as long as it may.
func (s *session) aged() bool {
	most := s.m.cfg.MaxConnectionDuration
	return most > 0 && time.Since(s.began) >= most
}

// target returns the cluster of that name, nil if there is none.
func (s *session) target(name string) *target {
	c := s.engine.opts.Upstreams.Cluster(name)
	if c == nil {
		return nil
	}
	if t := s.last.Load(); t != nil && t.cluster == c {
		return t
	}
	t := &target{name, c, c.Stats.Shard(s.conn.ID)}
	s.last.Store(t)
	return t
}
