package pki

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"os"
	"path/filepath"
	"testing"
	"time"

	"k8s.io/client-go/tools/clientcmd"
)

func TestIssued(t *testing.T) {
	now := time.Now()
	folder := t.TempDir()
	authority, err := NewAuthority("ca", now)
	if err != nil {
		t.Fatal(err)
	}
	if err := authority.Write(folder, "ca"); err != nil {
		t.Fatal(err)
	}
	if authority, err = Load(folder, "ca"); err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(authority.Cert)
	for name, test := range map[string]struct {
		subject Subject
		usage   x509.ExtKeyUsage
		host    string
	}{
		"server": {Subject{Name: "s", Hosts: []string{"a.b", "198.18.255.1"}}, x509.ExtKeyUsageServerAuth, "198.18.255.1"},
		"client": {Subject{Name: "admin", Groups: []string{"system:masters"}}, x509.ExtKeyUsageClientAuth, ""},
	} {
		t.Run(name, func(t *testing.T) {
			pair, err := authority.Issue(test.subject, now)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := tls.X509KeyPair(pair.Cert, pair.Key); err != nil {
				t.Errorf("certificate and key don't belong together: %v", err)
			}
			block, _ := pem.Decode(pair.Cert)
			certificate, err := x509.ParseCertificate(block.Bytes)
			if err != nil {
				t.Fatal(err)
			}
			options := x509.VerifyOptions{Roots: roots, DNSName: test.host, KeyUsages: []x509.ExtKeyUsage{test.usage}, CurrentTime: now}
			if _, err := certificate.Verify(options); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestLoadRefusesWhatIsntOne(t *testing.T) {
	folder := t.TempDir()
	if _, err := Load(folder, "ca"); err == nil {
		t.Error("an authority was read from an empty folder")
	}
	if err := (Pair{Cert: []byte("x"), Key: []byte("y")}).Write(folder, "ca"); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(folder, "ca"); err == nil {
		t.Error("an authority was read from nonsense")
	}
}

func TestKubeconfig(t *testing.T) {
	path := filepath.Join(t.TempDir(), "kubeconfig")
	pair := Pair{Cert: []byte("certificate"), Key: []byte("key")}
	if err := WriteKubeconfig(path, "https://127.0.0.1:1", "admin", []byte("ca"), pair); err != nil {
		t.Fatal(err)
	}
	config, err := clientcmd.BuildConfigFromFlags("", path)
	if err != nil {
		t.Fatal(err)
	}
	if config.Host != "https://127.0.0.1:1" || string(config.CertData) != "certificate" || string(config.KeyData) != "key" || string(config.CAData) != "ca" {
		t.Errorf("read back: %+v", config)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("others may read the key: %v, %v", info.Mode(), err)
	}
}
