// Package arch holds the forbidden edges of docs/architecture.md, each with its reason, and proves from `go list` what
// each binary links.
package arch

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"strings"
	"testing"
)

const module = "github.com/pillion-mesh/pillion"

// goPackage is what we read of `go list -json`.
type goPackage struct {
	ImportPath string
	Imports    []string
	Deps       []string
}

func list(t *testing.T, patterns ...string) []goPackage {
	t.Helper()
	cmd := exec.Command("go", append([]string{"list", "-json=ImportPath,Imports,Deps"}, patterns...)...)
	cmd.Dir = "../.."
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list %v: %v\n%s", patterns, err, stderr.String())
	}
	var packages []goPackage
	for decoder := json.NewDecoder(bytes.NewReader(out)); ; {
		var p goPackage
		if err := decoder.Decode(&p); errors.Is(err, io.EOF) {
			return packages
		} else if err != nil {
			t.Fatalf("reading go list's answer: %v", err)
		}
		packages = append(packages, p)
	}
}

// under says whether path is prefix or below it.
func under(path, prefix string) bool { return path == prefix || strings.HasPrefix(path, prefix+"/") }

// TestBinariesLink: what a binary links decides its memory in every pod and what runs with its privileges.
func TestBinariesLink(t *testing.T) {
	for _, rule := range []struct {
		binary    string
		forbidden []string
		reason    string
	}{
		{"./sidecar", []string{"k8s.io", "sigs.k8s.io"},
			"runs once a pod: client-go's types alone cost about 20 MB of memory each time"},
		{"./sidecar", []string{"text/template", "html/template"},
			"runs once a pod: templates call methods by name, so every method of every type is linked, 11 MB"},
		{"./sidecar", []string{"github.com/google/cel-go", "github.com/antlr4-go", "google.golang.org/protobuf/types/dynamicpb"},
			"runs once a pod: internal/proxy/cel does what access logs need of CEL in a twentieth of the size; tests alone ask cel-go"},
		{"./sidecar", []string{module + "/internal/cmd/capture"},
			"pillion-capture lies beside it in the image; linked here too it would be there twice"},
		{"./sidecar/capture", []string{"k8s.io", "sigs.k8s.io", "google.golang.org", "github.com/envoyproxy", "github.com/spf13", "go.uber.org/zap"},
			"holds NET_ADMIN and is on the way of every pod's start: the smallest possible program"},
		{"./sidecar/capture", []string{"os/exec", "net/http", "crypto"},
			"is started in every pod: no server, no more processes than iptables' own, no self-test of Go's cryptography"},
	} {
		for _, p := range list(t, "-tags=grpcnotrace", rule.binary) {
			for _, dep := range p.Deps {
				for _, f := range rule.forbidden {
					if under(dep, f) {
						t.Errorf("%s links %s: %s", rule.binary, dep, rule.reason)
					}
				}
			}
		}
	}
}

// rule forbids imports from packages below any of from, except from those below any of except.
type rule struct {
	from      []string
	forbidden []string
	except    []string
	reason    string
}

var rules = []rule{
	{
		from:      []string{"internal", "webhook", "templates", "api"},
		forbidden: []string{"k8s.io/client-go", "sigs.k8s.io/controller-runtime"},
		except:    []string{"internal/cmd/pillion", "internal/controller", "internal/kubesource", "internal/ca", "internal/cli", "webhook"},
		reason:    "only what talks to an API server may link a client for it",
	},
	{
		from:      []string{"internal/agent", "internal/proxy", "internal/dns", "internal/capture", "internal/ops", "internal/xdsclient"},
		forbidden: []string{"k8s.io", "sigs.k8s.io", module + "/api", module + "/internal/inject", module + "/webhook"},
		reason:    "the sidecar and the operator meet on the wire only",
	},
	{
		from:      []string{"internal/inject", "webhook"},
		forbidden: []string{module + "/internal/controller", module + "/internal/capture", module + "/internal/cmd", module + "/templates"},
		reason:    "injection is pure; cmd joins it to what it needs",
	},
	{
		from:      []string{"internal/controller"},
		forbidden: []string{module + "/internal/capture", module + "/internal/agent", module + "/internal/proxy", module + "/internal/cmd"},
		reason:    "neighbours don't import each other; cmd joins them",
	},
	{
		from:      []string{"internal/capture/jsontext", "internal/istio", "internal/localaddr", "internal/version", "internal/log", "internal/ops", "internal/identity"},
		forbidden: []string{module},
		except:    []string{},
		reason:    "a leaf imports nothing of ours but leaves",
	},
	{
		from:      []string{"internal/capture/plan"},
		forbidden: []string{"github.com", "golang.org", "google.golang.org", "k8s.io"},
		reason:    "the plan is pure and builds on every system: the standard library and leaves only",
	},
	{
		from:      []string{"internal/capture/text"},
		forbidden: []string{"os", "github.com/google", "golang.org", module + "/internal/capture/nft", module + "/internal/capture/ipt"},
		reason:    "text is pure",
	},
	{
		from:      []string{"internal/agent"},
		forbidden: []string{module + "/internal/proxy", module + "/internal/capture", "github.com/google/nftables"},
		reason:    "the agent knows its children by their protocol, not by their code",
	},
	{
		from:      []string{"internal", "webhook", "templates", "api", "main", "sidecar"},
		forbidden: []string{module + "/test"},
		reason:    "the product doesn't need its tests",
	},
}

var leaves = []string{"internal/capture/jsontext", "internal/istio", "internal/localaddr", "internal/version", "internal/log", "internal/ops", "internal/identity"}

func TestImports(t *testing.T) {
	packages := list(t, "./...")
	if len(packages) < 10 {
		t.Fatalf("go list found %d packages: this test would prove nothing", len(packages))
	}
	for _, p := range packages {
		own := strings.TrimPrefix(strings.TrimPrefix(p.ImportPath, module), "/")
		for _, r := range rules {
			if !within(own, r.from) || within(own, r.except) {
				continue
			}
			for _, imported := range p.Imports {
				if breaks(imported, r.forbidden) {
					t.Errorf("%s imports %s: %s", own, imported, r.reason)
				}
			}
		}
	}
}

func within(path string, prefixes []string) bool {
	for _, p := range prefixes {
		if under(path, p) {
			return true
		}
	}
	return false
}

// breaks: leaves may be imported by everything, forbidden or not.
func breaks(imported string, forbidden []string) bool {
	if within(strings.TrimPrefix(imported, module+"/"), leaves) {
		return false
	}
	return within(imported, forbidden)
}
