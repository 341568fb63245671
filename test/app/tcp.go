package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"
)

func echo(ctx context.Context, address string, out io.Writer) error {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
	if err != nil {
		return fmt.Errorf("listening: %w", err)
	}
	_, _ = fmt.Fprintf(out, `{"echoing":%q}`+"\n", listener.Addr())
	context.AfterFunc(ctx, func() { _ = listener.Close() })
	var connections sync.WaitGroup
	defer connections.Wait()
	for {
		connection, err := listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("accepting: %w", err)
		}
		connections.Go(func() {
			stop := context.AfterFunc(ctx, func() { _ = connection.Close() })
			defer stop()
			defer func() { _ = connection.Close() }()
			_, _ = io.Copy(connection, connection)
		})
	}
}

func send(ctx context.Context, address, text string, out io.Writer) error {
	connection, err := (&net.Dialer{Timeout: 10 * time.Second}).DialContext(ctx, "tcp", address)
	if err != nil {
		return err
	}
	defer func() { _ = connection.Close() }()
	if err := connection.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		return err
	}
	if _, err := io.WriteString(connection, text); err != nil {
		return fmt.Errorf("sending: %w", err)
	}
	if half, ok := connection.(*net.TCPConn); ok {
		if err := half.CloseWrite(); err != nil {
			return fmt.Errorf("sending: %w", err)
		}
	}
	back, err := io.ReadAll(connection)
	if err != nil {
		return fmt.Errorf("receiving: %w", err)
	}
	if string(back) != text {
		return fmt.Errorf("sent %q, got %q", text, back)
	}
	_, err = fmt.Fprintf(out, "%s\n", back)
	return err
}
