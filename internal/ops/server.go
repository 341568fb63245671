// Package ops is what the HTTP servers of the sidecar's processes share: limits on connections and requests, who a
// caller is, what it may do, how errors read, and the client for the Unix sockets. Listeners and handlers come in,
// guarded answers go out. It is a leaf. Read this file first, then guard.go and peer.go.
package ops

import (
	"context"
	"errors"
	"io"
	stdlog "log" //nolint:depguard // net/http wants one, to be silenced
	"net"
	"net/http"
	"time"
)

// Limits bound what callers can take from a server; zero fields mean the defaults.
type Limits struct {
	Conns        int // at once, 256
	ConnsPerPeer int // at once from one address, 32
}

// What one request may take.
const (
	headerTime  = 5 * time.Second
	requestTime = 10 * time.Second
	answerTime  = 60 * time.Second
	idleTime    = 60 * time.Second
	headerBytes = 16 << 10
	bodyBytes   = 1 << 20
	leaveTime   = 100 * time.Millisecond
)

// Serve answers HTTP on socket until ctx ends; then requests in flight get 100 ms. It closes the socket.
func Serve(ctx context.Context, socket net.Listener, handler http.Handler, limits Limits) error {
	server := &http.Server{
		Handler:           http.MaxBytesHandler(handler, bodyBytes),
		ReadHeaderTimeout: headerTime, ReadTimeout: requestTime, WriteTimeout: answerTime, IdleTimeout: idleTime,
		MaxHeaderBytes: headerBytes,
		ErrorLog:       stdlog.New(io.Discard, "", 0),
		ConnContext:    withConn,
	}
	left := make(chan struct{})
	stop := context.AfterFunc(ctx, func() { leave(server, left) })
	err := server.Serve(limitConns(socket, limits))
	if !stop() {
		<-left
	}
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

func leave(server *http.Server, left chan<- struct{}) {
	defer close(left)
	ctx, cancel := context.WithTimeout(context.Background(), leaveTime)
	defer cancel()
	if server.Shutdown(ctx) != nil {
		_ = server.Close()
	}
}

type connKey struct{}

func withConn(ctx context.Context, conn net.Conn) context.Context {
	if limited, ok := conn.(*limitedConn); ok {
		conn = limited.Conn
	}
	return context.WithValue(ctx, connKey{}, conn)
}

func connOf(r *http.Request) net.Conn {
	conn, _ := r.Context().Value(connKey{}).(net.Conn)
	return conn
}
