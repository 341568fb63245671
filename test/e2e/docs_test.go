package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pillion-mesh/pillion/test/cluster/images"
)

// testDocumentation runs every `sh` block of the user documents, in order, as written: a command that doesn't run is a
// fault of the document. injection.md comes first: the others go on with what it creates.
func testDocumentation(t *testing.T, e *env) {
	documents, err := filepath.Glob("../../docs/*.md")
	if err != nil || len(documents) == 0 {
		t.Fatalf("no documents: %v", err)
	}
	first := slices.Index(documents, "../../docs/injection.md")
	documents[0], documents[first] = documents[first], documents[0]
	bin := e.toolFolder(t)
	e.releasedImages(t)
	for _, document := range documents {
		t.Run(filepath.Base(document), func(t *testing.T) {
			whole, err := os.ReadFile(document)
			if err != nil {
				t.Fatal(err)
			}
			text, _, _ := strings.Cut(string(whole), uninstallSection) // which testUninstall runs
			e.runBlocks(t, bin, text)
		})
	}
}

// uninstallSection is the last of docs/operations.md.
const uninstallSection = "\n## Uninstall\n"

// runBlocks runs a text's blocks as written.
func (e *env) runBlocks(t *testing.T, bin, text string) {
	t.Helper()
	for _, block := range shellBlocks(text) {
		cmd := exec.CommandContext(deadline(t, 3*time.Minute), "sh", "-euc", block)
		cmd.Dir = "../.."
		cmd.Env = append(os.Environ(), "KUBECONFIG="+e.kubectl.Kubeconfig, "PATH="+bin+":"+os.Getenv("PATH"))
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("this block fails with %v:\n%s\n--- it printed:\n%s", err, block, out)
		}
	}
}

// releasedImages puts the images on the node under the names that config/ has for them.
func (e *env) releasedImages(t *testing.T) {
	t.Helper()
	all, err := images.All(deadline(t, 5*time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	for _, image := range all {
		if name, ours := strings.CutPrefix(image.Name, "localhost/pillion"); ours {
			e.LoadImage(t, "docker.io/pillion/pillion"+strings.TrimSuffix(name, ":test")+":dev", image.Image)
		}
	}
}

// toolFolder holds kubectl and pillion under the names users call them by.
func (e *env) toolFolder(t *testing.T) string {
	t.Helper()
	folder := t.TempDir()
	for name, program := range map[string]string{"kubectl": e.kubectl.Program, "pillion": e.cli, "pillion-sidecar": e.sidecar, "pillion-capture": e.capture} {
		if err := os.Symlink(program, filepath.Join(folder, name)); err != nil {
			t.Fatal(err)
		}
	}
	return folder
}

// shellBlocks are the fenced blocks marked sh.
func shellBlocks(text string) []string {
	var blocks []string
	for i, part := range strings.Split("\n"+text, "\n```") {
		if i%2 == 1 && strings.HasPrefix(part, "sh\n") {
			blocks = append(blocks, strings.TrimPrefix(part, "sh\n"))
		}
	}
	return blocks
}
