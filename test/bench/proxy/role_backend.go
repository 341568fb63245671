//go:build linux

package main

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
)

// runBackend answers everything as cheaply as Go can. args are the addresses for HTTP, TCP and gRPC.
func runBackend(ctx context.Context, args []string) error {
	listeners := make([]net.Listener, len(args))
	for i, address := range args {
		l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
		if err != nil {
			return err
		}
		listeners[i] = l
	}
	go serveEach(listeners[0], answer)
	go serveEach(listeners[1], serveBytes)
	server := grpc.NewServer()
	healthv1.RegisterHealthServer(server, health.NewServer())
	context.AfterFunc(ctx, server.Stop)
	return server.Serve(listeners[2])
}

// serveEach gives each connection a goroutine, for as long as the process runs.
func serveEach(l net.Listener, serve func(net.Conn)) {
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			defer conn.Close()
			serve(conn)
		}()
	}
}

// Answers of the HTTP backend.
const (
	smallAnswer = 23
	largeAnswer = 16 << 10
)

// answer serves requests without bodies, one at a time.
func answer(conn net.Conn) {
	small, large := reply(smallAnswer), reply(largeAnswer)
	buf := make([]byte, 16<<10)
	have := 0
	for {
		n, err := conn.Read(buf[have:])
		if err != nil {
			return
		}
		have += n
		if !bytes.HasSuffix(buf[:have], []byte("\r\n\r\n")) {
			continue
		}
		what := small
		if line, _, _ := bytes.Cut(buf[:have], []byte("\r\n")); bytes.Contains(line, []byte("/16k ")) {
			what = large
		}
		have = 0
		if _, err := conn.Write(what); err != nil {
			return
		}
	}
}

func reply(size int) []byte {
	return fmt.Appendf(nil, "HTTP/1.1 200 OK\r\nServer: bench\r\nDate: Thu, 01 Jan 1970 00:00:00 GMT\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n%s",
		size, strings.Repeat("x", size))
}

// What the first byte of a TCP connection asks for.
const (
	askEcho   = 'e' // the byte back, then the end
	askStream = 's' // bytes without end
)

func serveBytes(conn net.Conn) {
	chunk := make([]byte, 256<<10)
	if _, err := conn.Read(chunk[:1]); err != nil {
		return
	}
	if chunk[0] == askEcho {
		_, _ = conn.Write(chunk[:1])
		return
	}
	for {
		if _, err := conn.Write(chunk); err != nil {
			return
		}
	}
}
