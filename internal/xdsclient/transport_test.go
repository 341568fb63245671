package xdsclient

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"math/big"
	"net"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/types/known/anypb"
)

func TestUnixSocketSDS(t *testing.T) {
	server, handler := newScript(t, "unix"), newRecorder()
	c := start(t, Options{Address: server.address, Service: SDS, StateOfTheWorld: true}, handler)
	c.Want(TypeSecret, []string{"default"})
	stream := server.next(t)
	if r := stream.sotw(t); r.GetTypeUrl() != TypeSecret {
		t.Fatalf("asked for %v", r)
	}
	stream.tell(t, sotwMessage(TypeSecret, "1", resource(t, TypeSecret, "default")))
	if got := receive(t, handler.got, "response"); got.Resources[0].Name != "default" {
		t.Errorf("got %+v", got)
	}
}

func TestTLSAndHeaders(t *testing.T) {
	certificate, pool := selfSigned(t)
	server := newScript(t, "tcp", grpc.Creds(credentials.NewServerTLSFromCert(&certificate)))
	c := start(t, Options{
		Address: server.address, TLS: &tls.Config{RootCAs: pool, ServerName: "istiod.test"},
		Headers: func() ([]string, error) { return []string{"authorization", "Bearer x"}, nil },
	}, newRecorder())
	c.WantAll(TypeCluster)
	stream := server.next(t)
	stream.delta(t)
	if md, _ := metadata.FromIncomingContext(stream.ctx); len(md["authorization"]) != 1 || md["authorization"][0] != "Bearer x" {
		t.Errorf("metadata is %v", md)
	}
}

func selfSigned(t *testing.T) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"istiod.test"}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(leaf)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pool
}

// TestLargeMessage: 20 MiB pass; gRPC's own limit is 4.
func TestLargeMessage(t *testing.T) {
	server, handler := newScript(t, "tcp"), newRecorder()
	c := start(t, Options{Address: server.address, StateOfTheWorld: true}, handler)
	c.WantAll(TypeCluster)
	stream := server.next(t)
	stream.sotw(t)
	big := resource(t, TypeCluster, "a")
	big.Value = append(big.Value, 0xa2, 0x06, 0x80, 0x80, 0x80, 0x0a) // field 100, 20 MiB
	big.Value = append(big.Value, make([]byte, 20<<20)...)
	stream.tell(t, sotwMessage(TypeCluster, "1", []*anypb.Any{big}...))
	if got := receive(t, handler.got, "response"); len(got.Resources[0].Value) < 20<<20 || got.Resources[0].Name != "a" {
		t.Errorf("got %d bytes", len(got.Resources[0].Value))
	}
}

// TestNoServer: attempts go on while nobody listens, and end with the context.
func TestNoServer(t *testing.T) {
	dials := make(chan struct{}, 1000)
	c := start(t, Options{Address: "127.0.0.1:1", Dial: func(context.Context, string) (net.Conn, error) {
		dials <- struct{}{}
		return nil, net.ErrClosed
	}}, newRecorder())
	c.WantAll(TypeCluster)
	for range 5 {
		receive(t, dials, "attempt")
	}
	if c.Stats().Connected.Load() {
		t.Error("connected to nobody")
	}
}

func TestBackoff(t *testing.T) {
	b := Backoff{Base: 500 * time.Millisecond, Max: 30 * time.Second}
	for _, c := range []struct {
		failures int
		want     time.Duration
	}{{0, 500 * time.Millisecond}, {1, time.Second}, {5, 16 * time.Second}, {6, 30 * time.Second}, {1000, 30 * time.Second}} {
		if got := b.pause(c.failures, 0.999999999); got > c.want || got < c.want-time.Millisecond {
			t.Errorf("after %d failures at most %s, want %s", c.failures, got, c.want)
		}
	}
	if got := b.pause(9, 0); got != 0 {
		t.Errorf("full jitter starts at %s, want 0", got)
	}
}

func TestOptionsAreChecked(t *testing.T) {
	if _, err := New(Options{}, newRecorder()); err == nil {
		t.Error("no address was taken")
	}
	if _, err := New(Options{Address: "x:1", Node: []byte{0xff}}, newRecorder()); err == nil {
		t.Error("a broken node was taken")
	}
}
