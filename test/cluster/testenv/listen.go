package testenv

import (
	"crypto/tls"
	"net"
	"testing"
	"time"

	"github.com/pillion-mesh/pillion/test/cluster/pki"
)

// Listener is one the API server can reach, for a webhook that runs in the test process.
type Listener struct {
	net.Listener                 // plain TCP; wrap it with tls.NewListener(l, l.TLS)
	Host         string          // what a webhook's URL names, with the port
	CA           []byte          // PEM: a webhook's caBundle
	Certificate  tls.Certificate // valid for Host
	TLS          *tls.Config     // serves Certificate
}

// Listen opens a listener that the API server can reach; it's closed at the end of the test. On a node the socket is in
// the node's network namespace, though the test process isn't.
func (c *Cluster) Listen(t testing.TB) *Listener {
	t.Helper()
	inner, err := c.ListenInside()
	if err != nil {
		t.Fatalf("opening a listener for the API server: %v", err)
	}
	t.Cleanup(func() { _ = inner.Close() })
	host, _, err := net.SplitHostPort(inner.Addr().String())
	if err != nil {
		t.Fatalf("opening a listener for the API server: %v", err)
	}
	authority, err := pki.Load(c.Dir.PKI(), "ca")
	if err != nil {
		t.Fatal(err)
	}
	pair, err := authority.Issue(pki.Subject{Name: t.Name(), Hosts: []string{host}}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := tls.X509KeyPair(pair.Cert, pair.Key)
	if err != nil {
		t.Fatalf("reading the listener's certificate: %v", err)
	}
	return &Listener{
		Listener: inner, Host: inner.Addr().String(), CA: authority.Cert, Certificate: certificate,
		TLS: &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12},
	}
}
