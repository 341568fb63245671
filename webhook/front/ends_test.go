package front

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"
)

// TestConnectionsEnd: after an answer that says so, a body nobody read, or a panic.
func TestConnectionsEnd(t *testing.T) {
	for name, row := range map[string]struct {
		handler http.HandlerFunc
		length  int
		edit    func(*Server)
		status  int // 0: none
	}{
		"the handler wants it": {func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Connection", "close") }, 0, nil, 200},
		"a large body left":    {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusRequestEntityTooLarge) }, 8 << 20, nil, 413},
		"keep-alive is off":    {func(http.ResponseWriter, *http.Request) {}, 0, func(s *Server) { s.KeepAlive = false; s.HTTP.SetKeepAlivesEnabled(false) }, 200},
		"a panic":              {func(http.ResponseWriter, *http.Request) { panic("oh") }, 0, nil, 0},
	} {
		s := serve(t, row.handler, row.edit)
		c, in := s.dial(t)
		head := strings.Replace(plainHead, ": 12", ": "+strconv.Itoa(row.length), 1)
		if _, err := io.WriteString(c, head+strings.Repeat("a", row.length/100)); err != nil {
			t.Fatal(err)
		}
		answer, err := http.ReadResponse(in, nil)
		if row.status == 0 {
			if err == nil {
				t.Errorf("%s: %s", name, answer.Status)
			}
			await(t, "the panic is told", func() bool { return s.log.has("panic serving") && s.log.has("oh") })
		} else if err != nil || answer.StatusCode != row.status || !answer.Close {
			t.Errorf("%s: %v, %v", name, answer, err)
		}
		await(t, "the connection is gone", func() bool { return s.open.Load() == 0 })
	}
}

// TestSlowClientsAreLeft: each of the times ends a connection.
func TestSlowClientsAreLeft(t *testing.T) {
	one := strings.Replace(plainHead, ": 12", ": 1", 1) + "1"
	for name, row := range map[string]struct {
		send string
		edit func(*http.Server)
	}{
		"no hello":    {"", func(s *http.Server) { s.ReadHeaderTimeout = time.Millisecond }},
		"nothing":     {"", func(s *http.Server) { s.ReadHeaderTimeout = time.Second }},
		"half a head": {plainHead[:40], func(s *http.Server) { s.ReadHeaderTimeout = time.Second }},
		"half a body": {plainHead + "1", func(s *http.Server) { s.ReadTimeout = time.Millisecond }},
		"no second":   {one, func(s *http.Server) { s.IdleTimeout = time.Millisecond }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := serve(t, sized, func(s *Server) { row.edit(s.HTTP) })
			raw, err := net.Dial("tcp", s.listener.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer raw.Close()
			_ = raw.SetDeadline(time.Now().Add(2 * patience))
			if name == "no hello" {
				_, _ = io.Copy(io.Discard, raw)
				return
			}
			config := s.config.Clone()
			config.ServerName = "127.0.0.1"
			c := tls.Client(raw, config)
			_, _ = io.WriteString(c, row.send) // shakes hands, if there's time
			if n, _ := io.Copy(io.Discard, c); n == 0 && strings.HasPrefix(name, "no second") {
				t.Error("no answer")
			}
		})
	}
}

// TestShutdown: a request in work gets its answer, an idle connection ends, nothing new is taken.
func TestShutdown(t *testing.T) {
	for _, field := range []string{"", "X-Other"} {
		began, finish := make(chan struct{}), make(chan struct{})
		s := serve(t, func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/wait" {
				close(began)
				<-finish
			}
			fmt.Fprint(w, "done")
		}, nil)
		idle, idleIn := s.dial(t)
		if _, err := io.WriteString(idle, strings.Replace(plainHead, ": 12", ": 0", 1)); err != nil {
			t.Fatal(err)
		}
		if _, err := http.ReadResponse(idleIn, nil); err != nil {
			t.Fatal(err)
		}
		request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "https://"+s.listener.Addr().String()+"/wait", strings.NewReader("x"))
		if err != nil {
			t.Fatal(err)
		}
		if field != "" {
			request.Header.Set(field, "1")
		}
		answered := make(chan error, 1)
		go func() {
			answer, err := s.client(t).Do(request)
			if err == nil {
				_, err = io.ReadAll(answer.Body)
			}
			answered <- err
		}()
		<-began
		early, cancel := context.WithCancel(t.Context())
		cancel()
		if err := s.Shutdown(early); !errors.Is(err, context.Canceled) {
			t.Errorf("with a request in work: %v", err)
		}
		_, _ = io.Copy(io.Discard, idleIn) // ends
		if _, err := tls.Dial("tcp", s.listener.Addr().String(), s.config); err == nil {
			t.Error("a new connection is taken")
		}
		close(finish)
		if err := <-answered; err != nil {
			t.Errorf("the request in work: %v", err)
		}
		if err := s.Shutdown(t.Context()); err != nil {
			t.Error(err)
		}
	}
}
