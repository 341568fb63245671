package live

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"sync"
	"time"
)

// Listen opens the socket, for its owner alone. What a dead process left there is replaced.
func Listen(path string) (*net.UnixListener, error) {
	if info, err := os.Lstat(path); err == nil && info.Mode()&fs.ModeSocket != 0 {
		if err := os.Remove(path); err != nil {
			return nil, fmt.Errorf("replacing socket %s: %w", path, err)
		}
	}
	listener, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return nil, fmt.Errorf("listening on %s: %w", path, err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		return nil, errors.Join(err, listener.Close())
	}
	return listener, nil
}

// Serve answers requests until ctx ends, then closes everything and waits for it.
func (l *Live) Serve(ctx context.Context, listener *net.UnixListener) error {
	ctx, cancel := context.WithCancel(ctx)
	var running sync.WaitGroup
	defer running.Wait()
	defer cancel()
	defer context.AfterFunc(ctx, func() { _ = listener.Close() })()
	free := make(chan struct{}, maxConnections)
	for {
		conn, err := listener.AcceptUnix()
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return fmt.Errorf("accepting on %s: %w", listener.Addr(), err)
		}
		select {
		case free <- struct{}{}:
		default:
			_ = conn.Close() // more than anybody needs
			continue
		}
		running.Go(func() {
			defer func() { <-free }()
			defer func() { _ = conn.Close() }()
			defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
			l.converse(conn)
		})
	}
}

// converse answers one connection's requests. It ends with the connection, or with a line that isn't a request: what
// follows can't be trusted to be one.
func (l *Live) converse(conn *net.UnixConn) {
	lines := bufio.NewScanner(conn)
	lines.Buffer(make([]byte, 0, 4096), maxLine)
	for lines.Scan() {
		var r request
		broken := json.Unmarshal(lines.Bytes(), &r)
		err := broken
		if err == nil {
			err = l.carryOut(r)
		}
		var answer response
		if err != nil {
			answer.Error = err.Error()
		}
		_ = conn.SetWriteDeadline(time.Now().Add(patience))
		if json.NewEncoder(conn).Encode(answer) != nil || broken != nil {
			return
		}
	}
}
