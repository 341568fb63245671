package operator

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// writes counts those of all connections.
type writes struct {
	net.Listener
	n atomic.Int32
}

func (l *writes) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	return &written{c, &l.n}, err
}

type written struct {
	net.Conn
	n *atomic.Int32
}

func (c *written) Write(b []byte) (int, error) {
	c.n.Add(1)
	return c.Conn.Write(b)
}

// sized answers with as many bytes as the body asks for.
func sized(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	n, _ := strconv.Atoi(string(body))
	w.Header().Set("Content-Length", strconv.Itoa(n))
	if _, err := w.Write(bytes.Repeat([]byte("a"), n)); err != nil {
		panic(err)
	}
}

// startSized serves sized as admission is served.
func startSized(t *testing.T) (l *writes, url string, client *http.Client) {
	certified := httptest.NewTLSServer(nil)
	certificate, roots := certified.TLS.Certificates[0], x509.NewCertPool()
	roots.AddCert(certified.Certificate())
	certified.Close()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l = &writes{Listener: listener}
	server := WebhookServer(http.HandlerFunc(sized), func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return &certificate, nil })
	ended := make(chan error, 1)
	go func() { ended <- ServeWebhook(server, l) }()
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}, ExpectContinueTimeout: time.Minute}
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		_ = server.Close()
		<-ended
	})
	return l, "https://" + listener.Addr().String(), &http.Client{Transport: transport}
}

// TestAnswersAreOneWrite: an answer of usual size is one write of its connection, and one of any size arrives whole, also
// where the client waits to be told to send its body.
func TestAnswersAreOneWrite(t *testing.T) {
	l, url, client := startSized(t)
	for _, row := range []struct {
		size   int
		writes int32 // 0: any number
		expect string
	}{
		{size: 10}, // shakes hands
		{size: 10, writes: 1},
		{size: 9000, writes: 1},
		{size: 40 << 10, writes: 1},
		{size: 1 << 20},
		{size: 9000, expect: "100-continue", writes: 2},
		{size: 9000, writes: 1},
	} {
		before := l.n.Load()
		request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader(strconv.Itoa(row.size)))
		if err != nil {
			t.Fatal(err)
		}
		if row.expect != "" {
			request.Header.Set("Expect", row.expect)
		}
		answer, err := client.Do(request)
		if err != nil {
			t.Fatalf("%d bytes: %v", row.size, err)
		}
		body, err := io.ReadAll(answer.Body)
		_ = answer.Body.Close()
		if err != nil || len(body) != row.size || answer.TLS == nil {
			t.Errorf("%d bytes: got %d, %v", row.size, len(body), err)
		}
		if n := l.n.Load() - before; row.writes > 0 && n != row.writes {
			t.Errorf("%d bytes: %d writes, want %d", row.size, n, row.writes)
		}
	}
}
