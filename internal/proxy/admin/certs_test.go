package admin

import (
	"crypto/x509"
	"math/big"
	"net"
	"net/url"
	"testing"
	"time"
)

// testCerts are a trust bundle and a chain; nobody looks at their signatures here.
func testCerts(t testing.TB) []Certificates {
	t.Helper()
	id, err := url.Parse("spiffe://cluster.local/ns/shop/sa/shop")
	if err != nil {
		t.Fatal(err)
	}
	now := time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)
	root := &x509.Certificate{SerialNumber: big.NewInt(255), NotBefore: now.Add(-day), NotAfter: now.Add(3650 * day)}
	leaf := &x509.Certificate{
		SerialNumber: big.NewInt(0xabcdef), NotBefore: now.Add(-time.Hour), NotAfter: now.Add(23 * time.Hour),
		URIs: []*url.URL{id}, DNSNames: []string{"shop"}, IPAddresses: []net.IP{net.IPv4(10, 0, 0, 1)},
	}
	return []Certificates{
		{CA: []*x509.Certificate{root}, Chain: []*x509.Certificate{leaf}, CAPath: "<inline>", ChainPath: "<inline>", Now: now},
		{CA: []*x509.Certificate{root}, CAPath: "/etc/ssl/ca.pem", Now: now.Add(10000 * day)},
	}
}
