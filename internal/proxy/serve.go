package proxy

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strings"

	"github.com/pillion-mesh/pillion/internal/ops"
	"github.com/pillion-mesh/pillion/internal/proxy/admin"
	"github.com/pillion-mesh/pillion/internal/proxy/config"
	"github.com/pillion-mesh/pillion/internal/proxy/socket"
)

// Names of the sockets the agent hands over, before the slash; what follows it is the family.
const (
	SocketOutbound = "15001"
	SocketInbound  = "15006"
	SocketAdmin    = "15000"
	SocketStats    = "15090"
	SocketUnix     = "proxy.sock"
)

// Take gets the sockets, by name. Operators are served at once, applications from Accept on. It serves none if one is
// unknown.
func (s *Server) Take(sockets map[string]net.Listener) error {
	var operations, applications []func()
	for name, socket := range sockets {
		s.bound.has(socket)
		f, forApplications, err := s.server(name, socket)
		switch {
		case err != nil:
			return err
		case forApplications:
			applications = append(applications, f)
		default:
			operations = append(operations, f)
		}
	}
	for _, f := range operations {
		s.loops.Go(f)
	}
	s.waiting = applications
	return nil
}

// Inherit gets a socket that an epoch before this one had asked for by Options.Listen, before Accept.
func (s *Server) Inherit(address netip.AddrPort, socket net.Listener) {
	s.bound.inherit(address, socket)
}

// Accept starts serving applications.
func (s *Server) Accept() error {
	for _, f := range s.waiting {
		s.loops.Go(f)
	}
	s.waiting = nil
	s.bound.start()
	return nil
}

// server returns what serves one socket, and whether that is for applications.
func (s *Server) server(name string, socket net.Listener) (f func(), forApplications bool, err error) {
	kind, _, _ := strings.Cut(name, "/")
	switch kind {
	case SocketOutbound:
		f, err = s.listen(socket, config.VirtualOutbound)
		return f, true, err
	case SocketInbound:
		f, err = s.listen(socket, config.VirtualInbound)
		return f, true, err
	case SocketAdmin, SocketUnix:
		handler := admin.New(s.adminOptions())
		return func() { s.serveHTTP(name, socket, handler) }, false, nil
	case SocketStats:
		handler := admin.Scrape(s.store, s.Process)
		return func() { s.serveHTTP(name, socket, handler) }, false, nil
	default:
		return nil, false, fmt.Errorf("socket %q is unknown to this proxy", name)
	}
}

func (s *Server) listen(l net.Listener, name string) (func(), error) {
	on, err := socket.Listen(l)
	if err != nil {
		return nil, fmt.Errorf("listener %s: %w", name, err)
	}
	return func() { s.accept(on, name) }, nil
}

// accept takes connections until the socket or the Server is closed.
func (s *Server) accept(on *socket.Listener, name string) {
	defer func() { _ = on.Close() }() // this process's duplicate; the agent's goes on listening
	if !s.sockets.enter(on) {
		return
	}
	defer s.sockets.leave(on)
	if err := s.acceptor.Run(s.ctx, on, name); err != nil && !errors.Is(err, net.ErrClosed) {
		s.fail(fmt.Errorf("accepting on %s: %w", on.Addr(), err))
	}
}

func (s *Server) serveHTTP(name string, socket net.Listener, handler http.Handler) {
	if err := ops.Serve(s.operating, socket, handler, ops.Limits{}); err != nil {
		s.opts.Log.Error(err, "Serving the admin API failed", "socket", name)
	}
}
