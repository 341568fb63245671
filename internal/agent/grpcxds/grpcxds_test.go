package grpcxds

import (
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

func TestBootstrap(t *testing.T) {
	certs := &Certs{Chain: "/c/cert-chain.pem", Key: "/c/key.pem", Roots: "/c/root-cert.pem"}
	for _, c := range []struct {
		name     string
		options  Options
		has, not []string
	}{
		{"plaintext", Options{Server: "cp:15010", Token: "/t", ID: "sidecar~1", Cluster: "pay.shop", Metadata: map[string]any{"GENERATOR": "grpc"}},
			[]string{`"server_uri": "cp:15010"`, `"type": "insecure"`, `"id": "sidecar~1"`, `"cluster": "pay.shop"`, `"GENERATOR": "grpc"`, `"xds_v3"`, `"xds.istio.io/grpc/lds/inbound/%s"`},
			[]string{"call_creds", "certificate_providers", `"tls"`}},
		{"TLS", Options{Server: "cp:15012", TLS: true, Roots: "/r/root.pem", Token: "/t/token"},
			[]string{`"type": "tls"`, `"ca_certificate_file": "/r/root.pem"`, `"jwt_token_file": "/t/token"`}, []string{`"insecure"`, "certificate_providers"}},
		{"TLS, roots of the system", Options{Server: "cp:15012", TLS: true}, []string{`"type": "tls"`}, []string{"ca_certificate_file", "call_creds"}},
		{"certificates", Options{Server: "cp:15010", Certs: certs},
			[]string{`"plugin_name": "file_watcher"`, `"certificate_file": "/c/cert-chain.pem"`, `"private_key_file": "/c/key.pem"`, `"ca_certificate_file": "/c/root-cert.pem"`, `"default": {`}, nil},
	} {
		text, err := Bootstrap(c.options)
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		for _, want := range c.has {
			if !strings.Contains(string(text), want) {
				t.Errorf("%s: no %s in\n%s", c.name, want, text)
			}
		}
		for _, no := range c.not {
			if strings.Contains(string(text), no) {
				t.Errorf("%s: %s in\n%s", c.name, no, text)
			}
		}
	}
	if _, err := Bootstrap(Options{Metadata: map[string]any{"a": func() {}}}); err == nil {
		t.Error("metadata that is no JSON is accepted")
	}
}

// TestWriteIsWhole: a reader never sees a part, and no other file is left.
func TestWriteIsWhole(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "grpc-bootstrap.json")
	texts := map[string]bool{strings.Repeat("a", 1<<16): true, strings.Repeat("b", 1<<17): true}
	var writers sync.WaitGroup
	for text := range texts {
		if err := Write(path, []byte(text)); err != nil {
			t.Fatal(err)
		}
		writers.Go(func() {
			for range 100 {
				if err := Write(path, []byte(text)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for range 100 {
		if text, err := os.ReadFile(path); err != nil || !texts[string(text)] {
			t.Errorf("read %d bytes: %v", len(text), err)
		}
	}
	writers.Wait()
	files, err := os.ReadDir(dir)
	if err != nil || len(files) != 1 {
		t.Errorf("left are %v, %v", files, err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o644 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if err := Write(filepath.Join(dir, "none", "file"), nil); err == nil {
		t.Error("writes into a folder that isn't there")
	}
}
