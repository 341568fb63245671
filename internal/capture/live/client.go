package live

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/pillion-mesh/pillion/internal/capture/plan"
)

// Client asks another process to fill the sets. Not safe for concurrent use; after an error of the connection, dial again.
type Client struct {
	conn  net.Conn
	lines *bufio.Scanner
	wait  time.Duration
}

// Refused is what the other side answered; the connection is fine.
type Refused struct{ Reason string }

// Error is the reason.
func (r *Refused) Error() string { return "the live sets' owner refused: " + r.Reason }

// Dial connects to a socket. Each call waits for its answer no longer than wait.
func Dial(path string, wait time.Duration) (*Client, error) {
	conn, err := (&net.Dialer{Timeout: wait}).DialContext(context.Background(), "unix", path)
	if err != nil {
		return nil, fmt.Errorf("connecting to the live sets' owner: %w", err)
	}
	c := &Client{conn: conn, lines: bufio.NewScanner(conn), wait: wait}
	c.lines.Buffer(nil, maxLine)
	return c, nil
}

// Close ends the connection.
func (c *Client) Close() error { return c.conn.Close() }

// Add is Live's Add, over there.
func (c *Client) Add(set string, ttl time.Duration, list ...plan.Element) error {
	r := request{Op: "add", Set: set, Elements: texts(list)}
	if ttl > 0 {
		r.TTL = ttl.String()
	}
	return c.call(r)
}

// Remove is Live's Remove, over there.
func (c *Client) Remove(set string, list ...plan.Element) error {
	return c.call(request{Op: "remove", Set: set, Elements: texts(list)})
}

func texts(list []plan.Element) []string {
	texts := make([]string, len(list))
	for i, e := range list {
		texts[i] = e.String()
	}
	return texts
}

func (c *Client) call(r request) error {
	if err := c.conn.SetDeadline(time.Now().Add(c.wait)); err != nil {
		return err
	}
	if err := json.NewEncoder(c.conn).Encode(r); err != nil {
		return fmt.Errorf("asking the live sets' owner: %w", err)
	}
	if !c.lines.Scan() {
		return fmt.Errorf("waiting for the live sets' owner: %w", errors.Join(c.lines.Err(), net.ErrClosed))
	}
	var answer response
	if err := json.Unmarshal(c.lines.Bytes(), &answer); err != nil {
		return fmt.Errorf("reading the live sets' owner's answer: %w", err)
	}
	if answer.Error != "" {
		return &Refused{answer.Error}
	}
	return nil
}
