package node

import (
	"io"
	"net"
)

// maxRelayed bounds the connections relayed at a time; further ones wait in the accept queue.
const maxRelayed = 1024

// Relay leads every connection of listener to what dial reaches, until listener is closed.
func Relay(listener net.Listener, dial func() (net.Conn, error)) {
	slots := make(chan struct{}, maxRelayed)
	for {
		slots <- struct{}{}
		outside, err := listener.Accept()
		if err != nil {
			return
		}
		go func() {
			defer func() { <-slots }()
			relay(outside, dial)
		}()
	}
}

// relay copies both ways; the end of one direction is passed on, the end of both closes.
func relay(outside net.Conn, dial func() (net.Conn, error)) {
	defer func() { _ = outside.Close() }()
	inside, err := dial()
	if err != nil {
		return // the client sees a closed connection and tries again
	}
	defer func() { _ = inside.Close() }()
	done := make(chan struct{})
	go func() {
		defer close(done)
		carry(inside, outside)
	}()
	carry(outside, inside)
	<-done
}

func carry(to, from net.Conn) {
	_, _ = io.Copy(to, from)
	if half, ok := to.(*net.TCPConn); ok {
		_ = half.CloseWrite()
	}
}
