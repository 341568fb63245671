package certmanager

import (
	"os/exec"
	"strings"
	"testing"
)

// moduleDir is where the go command keeps cert-manager's module, CRDs included.
func moduleDir(t *testing.T) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "go", "list", "-m", "-f", "{{.Dir}}", "github.com/cert-manager/cert-manager").Output()
	must(t, err)
	return strings.TrimSpace(string(out))
}
