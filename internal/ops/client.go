package ops

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"
)

// Client calls a server of the sidecar over its Unix socket.
type Client struct {
	socket string
	http   http.Client
}

// NewClient returns a client for the socket at path. A call takes at most timeout.
func NewClient(path string, timeout time.Duration) *Client {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", path)
	}
	return &Client{path, http.Client{
		Timeout:   timeout,
		Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true, DisableCompression: true},
	}}
}

// Do sends a request and returns the answer, whose body the caller closes. target is a path with query; its leading
// slash may be missing.
func (c *Client) Do(ctx context.Context, method, target string, body io.Reader) (*http.Response, error) {
	url := "http://localhost/" + strings.TrimPrefix(target, "/")
	req, err := http.NewRequestWithContext(ctx, method, url, body)
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w", method, target, err)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, fmt.Errorf("calling the sidecar at %s: %w", c.socket, err)
	}
	return resp, nil
}
