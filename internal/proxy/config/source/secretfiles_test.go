package source

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/pillion-mesh/pillion/internal/proxy/config/xds"
)

// keyPair is a certificate with that serial number, and its key.
func keyPair(t *testing.T, serial int64) (chain, key []byte) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(serial), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: raw})
}

// TestSecretFiles: files that a secret names are read again when they change; half a change leaves the last good one.
func TestSecretFiles(t *testing.T) {
	chain, key := filepath.Join(t.TempDir(), "chain.pem"), filepath.Join(t.TempDir(), "key.pem")
	write := func(name string, content []byte) {
		t.Helper()
		if err := os.WriteFile(name, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	firstChain, firstKey := keyPair(t, 1)
	write(chain, firstChain)
	write(key, firstKey)
	b, err := xds.Bootstrap([]byte(`{"node": {"id": "n"}, "static_resources": {"secrets": [{"name": "mine", "tls_certificate": {
		"certificate_chain": {"filename": "` + chain + `"}, "private_key": {"filename": "` + key + `"}}}]}}`))
	if err != nil {
		t.Fatal(err)
	}
	s, err := New(Options{Bootstrap: b})
	if err != nil {
		t.Fatal(err)
	}
	s.mu.Lock()
	cell := cellOf(s.cells.certificates, "mine")
	s.mu.Unlock()
	serial := func() int64 { return cell.Load().Leaf.SerialNumber.Int64() }
	refused := func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.tables[secrets]["mine"].refused != nil
	}
	before := cell.Load()
	if s.reread(); cell.Load() != before {
		t.Error("files that haven't changed are decoded")
	}
	nextChain, nextKey := keyPair(t, 2)
	write(key, nextKey)
	if s.reread(); serial() != 1 || !refused() {
		t.Errorf("with another's key certificate %d is in use, refused %v", serial(), refused())
	}
	write(chain, nextChain)
	if s.reread(); serial() != 2 || refused() {
		t.Errorf("certificate %d is in use, refused %v", serial(), refused())
	}

	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); s.Run(ctx) }()
	defer func() { cancel(); <-done }()
	lastChain, lastKey := keyPair(t, 3)
	write(chain, lastChain)
	write(key, lastKey)
	for end := time.Now().Add(30 * time.Second); serial() != 3; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("changed files are never read while the source runs")
		}
	}
}
