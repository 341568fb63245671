package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"
)

// health is a server of everything a kubelet may ask, which remembers who asked. It speaks HTTP and gRPC at the first
// address, HTTPS at the second, and TCP without a word at the third. What is asked for the first time it prints, and when
// it is told to end, so that a log shows the order after the pod is gone.
//
//	GET /asked       {"live":"127.0.0.6:40312",…}: the latest caller by path, "grpc SERVICE" or "tcp"
//	GET /fail/NAME   what has this name fails from now on
//	GET /metrics     app_asked_total, by name
//	GET /NAME        200, or 503 if it fails
type health struct {
	lock    sync.Mutex
	asked   map[string]string
	times   map[string]int
	failing map[string]bool
	out     io.Writer
}

func serveHealth(ctx context.Context, addresses []string, out io.Writer) error {
	var listeners [3]net.Listener
	for i, fallback := range [3]string{":8080", ":8443", ":9001"} {
		address := fallback
		if i < len(addresses) {
			address = addresses[i]
		}
		listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
		if err != nil {
			return fmt.Errorf("listening: %w", err)
		}
		defer func() { _ = listener.Close() }()
		listeners[i] = listener
	}
	certificate, err := selfSigned()
	if err != nil {
		return err
	}
	_, _ = fmt.Fprintf(out, `{"http":%q,"https":%q,"tcp":%q}`+"\n", listeners[0].Addr(), listeners[1].Addr(), listeners[2].Addr())
	h := &health{asked: map[string]string{}, times: map[string]int{}, failing: map[string]bool{}, out: out}
	server := &http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Second, Protocols: new(http.Protocols)}
	server.Protocols.SetHTTP1(true)
	server.Protocols.SetHTTP2(true)
	server.Protocols.SetUnencryptedHTTP2(true)
	server.TLSConfig = &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12}

	failed := make(chan error, len(listeners))
	var running sync.WaitGroup
	running.Go(func() { failed <- server.Serve(listeners[0]) })
	running.Go(func() { failed <- server.ServeTLS(listeners[1], "", "") })
	running.Go(func() { failed <- h.accept(listeners[2]) })
	select {
	case <-ctx.Done():
		h.say(`{"ending":true}`)
	case err = <-failed:
	}
	_ = server.Close()
	_ = listeners[2].Close()
	running.Wait()
	return err
}

func (h *health) accept(listener net.Listener) error {
	for {
		connection, err := listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("accepting: %w", err)
		}
		h.answer("tcp", connection.RemoteAddr().String())
		_ = connection.Close()
	}
}

// answer notes who asks and says whether the answer is good.
func (h *health) answer(name, remote string) bool {
	h.lock.Lock()
	defer h.lock.Unlock()
	h.asked[name] = remote
	h.times[name]++
	if h.times[name] == 1 {
		_, _ = fmt.Fprintf(h.out, `{"asked":%q,"from":%q}`+"\n", name, remote)
	}
	return !h.failing[name]
}

func (h *health) say(line string) {
	h.lock.Lock()
	defer h.lock.Unlock()
	_, _ = fmt.Fprintln(h.out, line)
}

func (h *health) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	name := strings.TrimPrefix(r.URL.Path, "/")
	switch {
	case name == "asked":
		h.lock.Lock()
		defer h.lock.Unlock()
		_ = json.NewEncoder(w).Encode(h.asked)
	case name == "metrics":
		h.lock.Lock()
		defer h.lock.Unlock()
		_, _ = fmt.Fprintln(w, "# TYPE app_asked_total counter")
		for name, n := range h.times {
			_, _ = fmt.Fprintf(w, "app_asked_total{name=%q} %d\n", name, n)
		}
	case strings.HasPrefix(name, "fail/"):
		h.lock.Lock()
		defer h.lock.Unlock()
		h.failing[strings.TrimPrefix(name, "fail/")] = true
	case name == "grpc.health.v1.Health/Check":
		h.check(w, r)
	case !h.answer(name, r.RemoteAddr):
		w.WriteHeader(http.StatusServiceUnavailable)
	}
}

// check is the one call of grpc.health.v1.Health. Messages follow five bytes: not compressed, and a length.
func (h *health) check(w http.ResponseWriter, r *http.Request) {
	request, _ := io.ReadAll(io.LimitReader(r.Body, 256))
	service := ""
	if len(request) > 7 { // field 1, a string
		service = string(request[7:])
	}
	status := byte(1) // SERVING
	if !h.answer("grpc "+service, r.RemoteAddr) {
		status = 2
	}
	w.Header().Set("Content-Type", "application/grpc")
	w.Header().Set("Trailer", "Grpc-Status")
	_, _ = w.Write([]byte{0, 0, 0, 0, 2, 1 << 3, status})
	w.Header().Set("Grpc-Status", "0")
}

func selfSigned() (c tls.Certificate, err error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return c, fmt.Errorf("making a key: %w", err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(24 * time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return c, fmt.Errorf("making a certificate: %w", err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, nil
}
