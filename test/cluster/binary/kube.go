package binary

import (
	"bufio"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/pillion-mesh/pillion/test/cluster/progress"
)

// KubeVersion is what the API server calls itself; kube/go.mod requires the sources of the same version.
const KubeVersion = "v1.36.3"

const kubeLinker = "-s -w -X k8s.io/component-base/version.gitVersion=" + KubeVersion +
	" -X k8s.io/component-base/version.gitMajor=1 -X k8s.io/component-base/version.gitMinor=36"

// Kube returns the path of the Kubernetes binary, built if the cache has none of these sources and this Go version.
// The caller sees to it that nobody else builds at the same time.
func Kube(ctx context.Context, root string, p *progress.Printer) (string, error) {
	cache, err := Cache()
	if err != nil {
		return "", err
	}
	source := filepath.Join(root, "test", "cluster", "kube")
	hash, err := kubeHash(ctx, source)
	if err != nil {
		return "", err
	}
	output := filepath.Join(cache, "kube-"+hash)
	if _, err := os.Stat(output); err == nil {
		return output, nil
	}
	return output, p.Step("build kube", func(note func(string)) error {
		return buildKube(ctx, source, output, note)
	})
}

// kubeHash is over everything that decides what comes out.
func kubeHash(ctx context.Context, source string) (string, error) {
	version, err := goOutput(ctx, source, "env", "GOVERSION")
	if err != nil {
		return "", err
	}
	sum := sha256.New()
	_, _ = fmt.Fprintln(sum, strings.TrimSpace(version), runtime.GOOS, runtime.GOARCH, kubeLinker)
	for _, name := range []string{"go.mod", "go.sum", "main.go"} {
		data, err := os.ReadFile(filepath.Join(source, name))
		if err != nil {
			return "", fmt.Errorf("reading the sources of kube: %w", err)
		}
		_, _ = fmt.Fprintf(sum, "%s %d\n%s", name, len(data), data)
	}
	return fmt.Sprintf("%x", sum.Sum(nil))[:16], nil
}

// buildKube compiles to a temporary name and renames: a build that was ended leaves nothing that looks finished.
func buildKube(ctx context.Context, source, output string, note func(string)) error {
	total := "2 700" // packages, standard library included; only to show how far it is
	if deps, err := goOutput(ctx, source, "list", "-deps", "."); err == nil {
		total = fmt.Sprint(strings.Count(deps, "\n"))
	}
	temporary := output + ".building"
	defer func() { _ = os.Remove(temporary) }()
	command := goCommand(ctx, source, "build", "-v", "-trimpath", "-buildvcs=false", "-ldflags="+kubeLinker, "-o", temporary, ".")
	said := &counter{report: func(n int, pkg string) { note(fmt.Sprintf("package %d of about %s: %s", n, total, pkg)) }}
	command.Stderr = said
	note("compiling; packages found in Go's build cache aren't counted")
	if err := command.Run(); err != nil {
		return fmt.Errorf("building kube: %w\n%s", err, said.last.String())
	}
	if err := os.Rename(temporary, output); err != nil {
		return fmt.Errorf("building kube: %w", err)
	}
	return nil
}

// counter counts the lines `go build -v` writes, one a package, and keeps the last ones for an error.
type counter struct {
	lines  int
	rest   string
	last   tail
	report func(n int, pkg string)
}

func (c *counter) Write(b []byte) (int, error) {
	_, _ = c.last.Write(b)
	lines := bufio.NewReader(io.MultiReader(strings.NewReader(c.rest), strings.NewReader(string(b))))
	for {
		line, err := lines.ReadString('\n')
		if errors.Is(err, io.EOF) {
			c.rest = line
			return len(b), nil
		}
		c.lines++
		c.report(c.lines, strings.TrimSpace(line))
	}
}

// tail keeps the last 4 KiB written to it.
type tail struct{ data []byte }

func (t *tail) Write(b []byte) (int, error) {
	t.data = append(t.data, b...)
	if over := len(t.data) - 4096; over > 0 {
		t.data = t.data[over:]
	}
	return len(b), nil
}

func (t *tail) String() string { return string(t.data) }
