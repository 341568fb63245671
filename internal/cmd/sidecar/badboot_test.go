package sidecar

import (
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pillion-mesh/pillion/internal/capture/nstest"
	"github.com/pillion-mesh/pillion/internal/istio"
)

// TestBadBootstrap: a bootstrap with a mistake in it keeps the pod from becoming ready, and the log says which field and
// why.
func TestBadBootstrap(t *testing.T) {
	file := filepath.Join(filepath.Dir(runDir(t)), "bootstrap.json")
	text := `{"node": {"id": "n"}, "static_resources": {"listeners": [{"name": "virtualInbound",
		"address": {"socket_address": {"address": "nonsense", "port_value": 15006}}}]}}`
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	s := launchSidecar(t, nstest.NewPod(t).Namespace, istio.ProxyUID, "ISTIO_BOOTSTRAP_OVERRIDE="+file)
	s.eventually("the reason in the log", func() error {
		if !strings.Contains(s.stderr.String(), `"nonsense" is not an IP address`) {
			return errors.New(s.stderr.String())
		}
		return nil
	})
	s.eventually("an answer to the readiness probe", func() error {
		code, body, err := s.get("http://127.0.0.1:15021/healthz/ready")
		if err == nil && code == http.StatusOK {
			t.Fatalf("the pod is ready: %s", body)
		}
		return err
	})
}
