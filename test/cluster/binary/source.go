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

// source is a program with a module of its own, which takes minutes to build.
type source struct {
	name   string // of its folder in test/cluster and of what is built
	linker string
	about  int // packages, standard library included; only to show how far it is
}

// build returns the path of the program, built if the cache has none of these sources and this Go version. before, if
// not nil, is called with that path ahead of the build: what it makes is there whenever the program is.
// The caller sees to it that nobody else builds at the same time.
func (s source) build(ctx context.Context, root string, p *progress.Printer, before func(folder, output string) error) (string, error) {
	cache, err := Cache()
	if err != nil {
		return "", err
	}
	folder := filepath.Join(root, "test", "cluster", s.name)
	hash, err := s.hash(ctx, folder)
	if err != nil {
		return "", err
	}
	output := filepath.Join(cache, s.name+"-"+hash)
	if _, err := os.Stat(output); err == nil {
		return output, nil
	}
	return output, p.Step("build "+s.name, func(note func(string)) error {
		if before != nil {
			if err := before(folder, output); err != nil {
				return err
			}
		}
		return s.compile(ctx, folder, output, note)
	})
}

// hash is over everything that decides what comes out.
func (s source) hash(ctx context.Context, folder string) (string, error) {
	version, err := goOutput(ctx, folder, "env", "GOVERSION")
	if err != nil {
		return "", err
	}
	files, err := filepath.Glob(filepath.Join(folder, "*.go"))
	if err != nil {
		return "", fmt.Errorf("looking for the sources of %s: %w", s.name, err)
	}
	sum := sha256.New()
	_, _ = fmt.Fprintln(sum, strings.TrimSpace(version), runtime.GOOS, runtime.GOARCH, s.linker)
	for _, path := range append([]string{filepath.Join(folder, "go.mod"), filepath.Join(folder, "go.sum")}, files...) {
		data, err := os.ReadFile(path)
		if err != nil {
			return "", fmt.Errorf("reading the sources of %s: %w", s.name, err)
		}
		_, _ = fmt.Fprintf(sum, "%s %d\n%s", filepath.Base(path), len(data), data)
	}
	return fmt.Sprintf("%x", sum.Sum(nil))[:16], nil
}

// compile writes to a temporary name and renames: a build that was ended leaves nothing that looks finished.
func (s source) compile(ctx context.Context, folder, output string, note func(string)) error {
	total := s.about
	if deps, err := goOutput(ctx, folder, "list", "-deps", "."); err == nil {
		total = strings.Count(deps, "\n")
	}
	temporary := output + ".building"
	defer func() { _ = os.Remove(temporary) }()
	command := goCommand(ctx, folder, "build", "-v", "-trimpath", "-buildvcs=false", "-ldflags="+s.linker, "-o", temporary, ".")
	said := &counter{report: func(n int, pkg string) { note(fmt.Sprintf("package %d of about %d: %s", n, total, pkg)) }}
	command.Stderr = said
	note("compiling; packages found in Go's build cache aren't counted")
	if err := command.Run(); err != nil {
		return fmt.Errorf("building %s: %w\n%s", s.name, err, said.last.String())
	}
	if err := os.Rename(temporary, output); err != nil {
		return fmt.Errorf("building %s: %w", s.name, err)
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
