package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"time"
)

// answer is what the server says about a request.
type answer struct {
	Pod    string `json:"pod"`    // the server's host name
	Remote string `json:"remote"` // the caller's address as the server's socket has it
	Local  string `json:"local"`
	Method string `json:"method"`
	Host   string `json:"host"`
	Path   string `json:"path"`
}

func serve(ctx context.Context, address string, out io.Writer) error {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
	if err != nil {
		return fmt.Errorf("listening: %w", err)
	}
	_, _ = fmt.Fprintf(out, `{"serving":%q}`+"\n", listener.Addr())
	server := &http.Server{Handler: http.HandlerFunc(describe), ReadHeaderTimeout: 10 * time.Second}
	finished := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(finished)
		grace, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		_ = server.Shutdown(grace)
	})
	err = server.Serve(listener)
	if !stop() {
		<-finished // requests in flight get their answers
	}
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return fmt.Errorf("serving: %w", err)
}

func describe(w http.ResponseWriter, r *http.Request) {
	pod, _ := os.Hostname()
	a := answer{Pod: pod, Remote: r.RemoteAddr, Method: r.Method, Host: r.Host, Path: r.URL.Path}
	if local, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr); ok {
		a.Local = local.String()
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(a)
}

// client opens a connection a request: each is a decision of its own for whoever captures it.
func client() *http.Client {
	return &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
}

func getAll(ctx context.Context, urls []string, out io.Writer) error {
	c := client()
	var failed []error
	for _, url := range urls {
		failed = append(failed, get(ctx, c, url, out))
	}
	return errors.Join(failed...)
}

func get(ctx context.Context, c *http.Client, url string, out io.Writer) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	response, err := c.Do(request)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	if _, err := io.Copy(out, io.LimitReader(response.Body, 1<<20)); err != nil {
		return fmt.Errorf("reading the answer of %s: %w", url, err)
	}
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answers %s", url, response.Status)
	}
	return nil
}

// probe counts what works and what doesn't while others break things.
func probe(ctx context.Context, interval, url string, out io.Writer) error {
	every, err := time.ParseDuration(interval)
	if err != nil || every <= 0 {
		return errUsage
	}
	c := client()
	count := struct {
		OK     int    `json:"ok"`
		Failed int    `json:"failed"`
		Last   string `json:"lastError,omitempty"`
	}{}
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		// A request under way when we're asked to end is finished and counted.
		if err := get(context.WithoutCancel(ctx), c, url, io.Discard); err != nil {
			count.Failed++
			count.Last = err.Error()
		} else {
			count.OK++
		}
		select {
		case <-ctx.Done():
		case <-tick.C:
		}
		if ctx.Err() != nil {
			return json.NewEncoder(out).Encode(count)
		}
	}
}
