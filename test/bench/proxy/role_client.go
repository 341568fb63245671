//go:build linux

package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
)

// Concurrency of our own clients.
const (
	connectors      = 16 // new connections at a time
	streams         = 4
	grpcConnections = 4
	grpcCallsEach   = 16
	idleOpeners     = 8
)

// many runs work n times at once, again and again until it fails or the time is over, and prints the sum of what it
// returned. work may end what it is at when over ends; it isn't a failure then.
func many(ctx context.Context, n int, seconds string, work func(over context.Context, i int) (int64, error)) error {
	d, err := time.ParseDuration(seconds)
	if err != nil {
		return err
	}
	over, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	var sum atomic.Int64
	var group sync.WaitGroup
	failures := make([]error, n)
	for i := range n {
		group.Go(func() {
			for over.Err() == nil && failures[i] == nil {
				done, err := work(over, i)
				sum.Add(done)
				if over.Err() == nil {
					failures[i] = err
				}
			}
		})
	}
	group.Wait()
	fmt.Println(sum.Load())
	return errors.Join(failures...)
}

// runConnect opens connections to an address, each for one exchange. args: tcp or https, address, duration.
func runConnect(ctx context.Context, args []string) error {
	exchange := exchangeTCP
	if args[0] == "https" {
		exchange = exchangeTLS
	}
	return many(ctx, connectors, args[2], func(context.Context, int) (int64, error) {
		conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", args[1])
		if err != nil {
			return 0, err
		}
		defer conn.Close()
		if err := exchange(conn); err != nil {
			return 0, err
		}
		return 1, nil
	})
}

// exchangeTCP has the server end the connection: so no client runs out of ports.
func exchangeTCP(conn net.Conn) error {
	if _, err := conn.Write([]byte{askEcho}); err != nil {
		return err
	}
	got, err := io.ReadAll(conn)
	if err == nil && len(got) != 1 {
		err = fmt.Errorf("%d bytes came back, want 1", len(got))
	}
	return err
}

func exchangeTLS(conn net.Conn) error {
	// The proxies are measured, not the client: it checks nothing.
	secure := tls.Client(conn, &tls.Config{ServerName: "bench", InsecureSkipVerify: true}) //nolint:gosec // see above
	if _, err := io.WriteString(secure, "GET / HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n"); err != nil {
		return err
	}
	got, err := io.ReadAll(secure)
	if err == nil && len(got) < smallAnswer {
		err = fmt.Errorf("the answer is %q", got)
	}
	return err
}

// runBulk reads streams and counts bytes. args: address, duration.
func runBulk(ctx context.Context, args []string) error {
	return many(ctx, streams, args[1], func(over context.Context, _ int) (n int64, err error) {
		conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", args[0])
		if err != nil {
			return 0, err
		}
		defer conn.Close()
		stop := context.AfterFunc(over, func() { _ = conn.SetReadDeadline(time.Unix(1, 0)) })
		defer stop()
		if _, err := conn.Write([]byte{askStream}); err != nil {
			return 0, err
		}
		buf := make([]byte, 256<<10)
		for {
			got, err := conn.Read(buf)
			n += int64(got)
			if err != nil {
				return n, err
			}
		}
	})
}

// runGRPC makes unary calls. args: address, duration.
func runGRPC(ctx context.Context, args []string) error {
	clients := make([]healthv1.HealthClient, grpcConnections)
	for i := range clients {
		conn, err := grpc.NewClient("passthrough:///"+args[0], grpc.WithTransportCredentials(insecure.NewCredentials()))
		if err != nil {
			return err
		}
		defer conn.Close() //nolint:errcheck // the process ends with it
		clients[i] = healthv1.NewHealthClient(conn)
	}
	return many(ctx, grpcConnections*grpcCallsEach, args[1], func(_ context.Context, i int) (int64, error) {
		if _, err := clients[i%grpcConnections].Check(ctx, &healthv1.HealthCheckRequest{}); err != nil {
			return 0, err
		}
		return 1, nil
	})
}

// runIdle opens connections, uses each once, says so and keeps them until its input ends. args: address, how many.
func runIdle(ctx context.Context, args []string) error {
	n, err := strconv.Atoi(args[1])
	if err != nil {
		return err
	}
	var opened atomic.Int64
	conns := make([]net.Conn, n) // one that nobody holds is closed by the collector
	var group sync.WaitGroup
	failures := make([]error, idleOpeners)
	for opener := range idleOpeners {
		group.Go(func() {
			for i := int(opened.Add(1)) - 1; i < n && failures[opener] == nil; i = int(opened.Add(1)) - 1 {
				conns[i], failures[opener] = openIdle(ctx, args[0])
			}
		})
	}
	group.Wait()
	if err := errors.Join(failures...); err != nil {
		return err
	}
	fmt.Println("ready")
	_, err = io.Copy(io.Discard, os.Stdin)
	runtime.KeepAlive(conns)
	return err
}

func openIdle(ctx context.Context, address string) (net.Conn, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	if _, err := fmt.Fprintf(conn, "GET /api/v3/pay HTTP/1.1\r\nHost: %s\r\n\r\n", hostName(chosenHost)); err != nil {
		return nil, err
	}
	_, err = conn.Read(make([]byte, 4096))
	return conn, err
}
