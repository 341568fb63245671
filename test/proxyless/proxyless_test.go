package proxyless

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"github.com/pillion-mesh/pillion/internal/agent/grpcxds"
)

const nodeID = "sidecar~10.0.0.7~pay-1.shop~shop.svc.cluster.local"

// TestApplicationFindsItsPeer: an application that knows nothing but the agent's file reaches a server that only the
// control plane knows, and the control plane learns from the file who asks.
func TestApplicationFindsItsPeer(t *testing.T) {
	backend := startBackend(t)
	dir := t.TempDir() // gRPC wants a certificate and its key in one folder
	pair, roots := certificate(t, dir)
	token := tokenFile(t, dir)
	for _, c := range []struct {
		name    string
		server  []grpc.ServerOption
		options grpcxds.Options
		token   string
	}{
		{"plaintext", nil, grpcxds.Options{Token: token}, ""},
		{"TLS with a token", []grpc.ServerOption{grpc.Creds(credentials.NewServerTLSFromCert(&pair))},
			grpcxds.Options{TLS: true, Roots: roots, Token: token}, "Bearer " + read(t, token)},
		{"certificates of its own", nil, grpcxds.Options{Certs: &grpcxds.Certs{Chain: roots, Key: keyFile(t, dir, pair), Roots: roots}}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			plane := &controlPlane{}
			o := c.options
			o.Server, o.ID, o.Cluster = plane.start(t, backend, c.server...), nodeID, "pay.shop"
			o.Metadata = map[string]any{"GENERATOR": "grpc", "LABELS": map[string]any{"app": "pay"}}
			application(t, o)
			node, tokens := plane.asked()
			if node.GetId() != nodeID || node.GetCluster() != "pay.shop" || node.GetMetadata().GetFields()["GENERATOR"].GetStringValue() != "grpc" ||
				node.GetMetadata().GetFields()["LABELS"].GetStructValue().GetFields()["app"].GetStringValue() != "pay" {
				t.Errorf("the control plane was asked by %v", node)
			}
			if len(tokens) == 0 || tokens[0] != c.token {
				t.Errorf("tokens %q, want %q", tokens, c.token)
			}
		})
	}
}

// application runs this binary as one, with the file that the agent would have written.
func application(t *testing.T, o grpcxds.Options) {
	t.Helper()
	text, err := grpcxds.Bootstrap(o)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "grpc-bootstrap.json")
	if err := grpcxds.Write(path, text); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), asClient+"=xds:///"+service, "GRPC_XDS_BOOTSTRAP="+path, "GRPC_EXPERIMENTAL_XDS_BOOTSTRAP_CALL_CREDS=true",
		"GRPC_GO_LOG_SEVERITY_LEVEL=warning")
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil || !bytes.Contains(out.Bytes(), []byte("SERVING")) {
		t.Fatalf("%v: %s\nthe bootstrap:\n%s", err, &out, text)
	}
}

// certificate is one of its own for 127.0.0.1, and the file with its root.
func certificate(t *testing.T, dir string) (tls.Certificate, string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "control plane"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour), IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, write(t, dir, "root.pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})))
}

func keyFile(t *testing.T, dir string, pair tls.Certificate) string {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(pair.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	return write(t, dir, "key.pem", string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})))
}

// tokenFile is a JWT that gRPC takes: of that it reads when it ends.
func tokenFile(t *testing.T, dir string) string {
	t.Helper()
	part := func(v any) string {
		text, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return base64.RawURLEncoding.EncodeToString(text)
	}
	ends := time.Now().Add(time.Hour).Unix()
	return write(t, dir, "token", fmt.Sprintf("%s.%s.%s", part(map[string]any{"alg": "none"}), part(map[string]any{"exp": ends}), part("signature")))
}

func write(t *testing.T, dir, name, text string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
