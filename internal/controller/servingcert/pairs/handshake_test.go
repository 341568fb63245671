package pairs

import (
	"crypto/tls"
	"crypto/x509"
	"net"
	"testing"
	"time"
)

// handshake connects as an API server does whose caBundle is ca alone.
func handshake(t *testing.T, p *Pair, ca *x509.Certificate) {
	t.Helper()
	near, far := net.Pipe()
	defer near.Close()
	served := make(chan error, 1)
	go func() {
		defer far.Close()
		served <- tls.Server(far, &tls.Config{Certificates: []tls.Certificate{p.Certificate}}).Handshake()
	}()
	roots := x509.NewCertPool()
	roots.AddCert(ca)
	clock := func() time.Time { return now }
	if err := tls.Client(near, &tls.Config{RootCAs: roots, ServerName: wanted[0], Time: clock}).Handshake(); err != nil {
		t.Errorf("trusting %s: %v", ca.Subject, err)
	}
	near.Close()
	<-served
}
