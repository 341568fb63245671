package source

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
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

const inlineBootstrap = `{"node": {"id": "n"}, "static_resources": {
  "listeners": [{"name": "in", "address": {"socket_address": {"address": "192.0.2.1", "port_value": 1}}, "filter_chains": [{
    "transport_socket": {"name": "tls", "typed_config": {"@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
      "common_tls_context": {"tls_certificates": [{"certificate_chain": {"filename": %[1]q}, "private_key": {"filename": %[2]q}, "watched_directory": {"path": "/"}}]}}},
    "filters": [{"name": "tcp", "typed_config": {"@type": "type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy", "stat_prefix": "p", "cluster": "out"}}]}]}],
  "clusters": [{"name": "out", "type": "STATIC", "load_assignment": {"cluster_name": "out"}, "transport_socket": {"name": "tls", "typed_config": {
      "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
      "common_tls_context": {"validation_context": {"trusted_ca": {"filename": %[1]q}}}}}}]}}`

// TestInlineFiles: files that listeners and clusters name themselves are read again, too, into the cells there are; half a
// change leaves the last good ones.
func TestInlineFiles(t *testing.T) {
	chain, key := filepath.Join(t.TempDir(), "chain.pem"), filepath.Join(t.TempDir(), "key.pem")
	replace := func(name string, content []byte) {
		t.Helper()
		if err := os.WriteFile(name, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	firstChain, firstKey := keyPair(t, 1)
	replace(chain, firstChain)
	replace(key, firstKey)
	b, err := xds.Bootstrap(fmt.Appendf(nil, inlineBootstrap, chain, key))
	if err != nil {
		t.Fatal(err)
	}
	s, err := New(Options{Bootstrap: b})
	if err != nil {
		t.Fatal(err)
	}
	listener, cluster := s.tables[listeners]["in"].latest().listener, s.tables[clusters]["out"].latest().cluster
	certificate, trust := listener.Chains[0].TLS.Certificates[0], cluster.TLS.Trust
	before := trust.Load()
	check := func(serial int64, trustMoved bool) {
		t.Helper()
		s.reread()
		if got := certificate.Load().Leaf.SerialNumber.Int64(); got != serial || (trust.Load() != before) != trustMoved {
			t.Errorf("certificate %d is in use, want %d; trust is another %v", got, serial, trust.Load() != before)
		}
		if s.tables[listeners]["in"].latest().listener != listener || s.tables[clusters]["out"].latest().cluster != cluster {
			t.Error("the listener or the cluster is another one")
		}
	}
	check(1, false)
	nextChain, nextKey := keyPair(t, 2)
	replace(key, nextKey)
	check(1, false)
	replace(chain, nextChain)
	check(2, true)
	replace(chain, []byte("nothing"))
	before = trust.Load()
	check(2, false)
	lastChain, lastKey := keyPair(t, 3)
	replace(chain, lastChain)
	replace(key, lastKey)
	check(3, true)
}
