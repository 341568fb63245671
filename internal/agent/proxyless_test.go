package agent

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"testing/fstest"

	"github.com/pillion-mesh/pillion/internal/agent/grpcxds"
)

// TestGRPCBootstrap: the file says what the agent knows, and names no file that isn't there.
func TestGRPCBootstrap(t *testing.T) {
	path := filepath.Join(t.TempDir(), "grpc-bootstrap.json")
	env := []string{"POD_NAME=pay-1", "POD_NAMESPACE=shop", "INSTANCE_IP=10.0.0.7", "ISTIO_META_GENERATOR=grpc", "GRPC_XDS_BOOTSTRAP=" + path}
	certs := filesOf(certificates[1:]+"/cert-chain.pem", "c", certificates[1:]+"/key.pem", "k", certificates[1:]+"/root-cert.pem", "r")
	for _, c := range []struct {
		name, address  string
		files          fstest.MapFS
		tls            bool
		roots, token   string
		ownCertificate bool
	}{
		{"plaintext", "cp.mesh:15010", nil, false, "", "", false},
		{"TLS", "cp.mesh:15012", filesOf(controlPlaneRoots[1:], "r", tokenPath[1:], "t"), true, controlPlaneRoots, tokenPath, false},
		{"TLS, nothing is there yet", "cp.mesh:15012", nil, true, "", "", false},
		{"certificates", "cp.mesh:15010", certs, false, "", "", true},
		{"a key is missing", "cp.mesh:15010", filesOf(certificates[1:]+"/cert-chain.pem", "c", certificates[1:]+"/root-cert.pem", "r"), false, "", "", false},
	} {
		s, _, err := Load([]string{"--discoveryAddress=" + c.address}, env, nil)
		if err != nil {
			t.Fatal(err)
		}
		o, err := s.grpcBootstrap(c.files)
		if err != nil || o.Server != c.address || o.TLS != c.tls || o.Roots != c.roots || o.Token != c.token || (o.Certs != nil) != c.ownCertificate {
			t.Errorf("%s: %+v, %v", c.name, o, err)
		}
		if err := s.WriteGRPCBootstrap(c.files); err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
		written, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if want, err := grpcxds.Bootstrap(o); err != nil || string(written) != string(want) {
			t.Errorf("%s: written is %s, want %s", c.name, written, want)
		}
		var said struct {
			Node struct {
				ID       string
				Metadata map[string]any
			}
		}
		if err := json.Unmarshal(written, &said); err != nil || said.Node.ID != "sidecar~10.0.0.7~pay-1.shop~shop.svc.cluster.local" || said.Node.Metadata["GENERATOR"] != "grpc" {
			t.Errorf("%s: node %+v, %v", c.name, said.Node, err)
		}
	}
}

func TestGRPCBootstrapIsOnlyForThoseWhoAsk(t *testing.T) {
	if err := (Settings{DiscoveryAddress: "cp:15010"}).WriteGRPCBootstrap(nil); err != nil {
		t.Errorf("without GRPC_XDS_BOOTSTRAP: %v", err)
	}
	if err := (Settings{GRPCBootstrap: filepath.Join(t.TempDir(), "b")}).WriteGRPCBootstrap(nil); !errors.Is(err, ErrNoDiscovery) {
		t.Errorf("without a control plane: %v", err)
	}
}
