// Package docs holds the user documents against the code: what the code knows and users need must be written down.
// test/e2e runs the documents' commands.
package docs

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/pillion-mesh/pillion/internal/capture/plan"
	"github.com/pillion-mesh/pillion/internal/inject"
)

const root = "../.."

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, path))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestEveryAnnotationIsDocumented: the reference is generated; a test beside the table sees to it that it is up to date.
func TestEveryAnnotationIsDocumented(t *testing.T) {
	text := read(t, "docs/reference/annotations.md")
	keys := inject.Annotations()
	if len(keys) < 50 {
		t.Fatalf("the table has %d keys: this test would prove little", len(keys))
	}
	for _, a := range keys {
		if !strings.Contains(text, "`"+a.Key+"`") {
			t.Errorf("docs/reference/annotations.md says nothing of %s", a.Key)
		}
	}
	for _, match := range annotationName.FindAllStringSubmatch(read(t, "docs/injection.md"), -1) {
		if !slices.ContainsFunc(keys, func(a inject.Annotation) bool { return a.Key == match[1] }) {
			t.Errorf("docs/injection.md names %s, which the table hasn't", match[1])
		}
	}
}

// annotationName is a whole key of ours in a document.
var annotationName = regexp.MustCompile("`((?:[a-z.]*istio\\.io|pillion\\.dev)/[A-Za-z-]+)`")

var metricName = regexp.MustCompile(`"(pillion_[a-z_]+)"`)

// TestEveryMetricOfTheOperatorIsDocumented finds metrics by their names in the source: to register them all would take
// an operator.
func TestEveryMetricOfTheOperatorIsDocumented(t *testing.T) {
	text := read(t, "docs/operations.md")
	found := 0
	for _, folder := range []string{"internal/controller", "internal/cmd/pillion", "webhook"} {
		err := filepath.WalkDir(filepath.Join(root, folder), func(path string, entry fs.DirEntry, err error) error {
			if err != nil || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			source, err := os.ReadFile(path)
			for _, match := range metricName.FindAllStringSubmatch(string(source), -1) {
				found++
				if !strings.Contains(text, match[1]) {
					t.Errorf("docs/operations.md says nothing of %s (%s)", match[1], path)
				}
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if found < 8 {
		t.Fatalf("%d metrics found: this test would prove little", found)
	}
}

var captureOption = regexp.MustCompile(`(?m)^  (?:-[a-z] )?(--[a-z_-]+|ISTIO_[A-Z0-9_]+)`)

func TestEveryOptionOfCaptureIsDocumented(t *testing.T) {
	text := read(t, "docs/capture.md")
	found := captureOption.FindAllStringSubmatch(plan.Usage(), -1)
	if len(found) < 50 {
		t.Fatalf("%d options found: this test would prove little", len(found))
	}
	for _, match := range found {
		if !regexp.MustCompile(regexp.QuoteMeta(match[1]) + `[^a-zA-Z_-]`).MatchString(text) {
			t.Errorf("docs/capture.md says nothing of %s", match[1])
		}
	}
}

// TestNothingIsLeftToFillIn: a placeholder that was committed is a document nobody read.
func TestNothingIsLeftToFillIn(t *testing.T) {
	placeholder := regexp.MustCompile(`(?m)^[A-Z]+_[A-Z_]+$`)
	for _, pattern := range []string{"*.md", "docs/*.md", "docs/reference/*.md", "test/*/README.md"} {
		files, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil || len(files) == 0 {
			t.Fatalf("%s: no documents: %v", pattern, err)
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if match := placeholder.Find(text); match != nil {
				t.Errorf("%s holds the placeholder %s", file, match)
			}
		}
	}
}

// TestEveryTestRuns: each package with tests is in one of the Makefile's lists.
func TestEveryTestRuns(t *testing.T) {
	makefile := read(t, "Makefile")
	cmd := exec.Command("go", "list", "-f", "{{if or .TestGoFiles .XTestGoFiles}}{{.ImportPath}}{{end}}", "./...")
	cmd.Dir = root
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	for _, pkg := range strings.Fields(string(out)) {
		path := "." + strings.TrimPrefix(pkg, "github.com/pillion-mesh/pillion")
		if !listed(makefile, path) {
			t.Errorf("make test doesn't run %s", path)
		}
	}
}

// listed: the path or one above it is followed by /... in the Makefile.
func listed(makefile, path string) bool {
	for ; path != "."; path = filepath.Dir(strings.TrimPrefix(path, "./")) {
		path = "./" + strings.TrimPrefix(path, "./")
		if strings.Contains(makefile, path+"/...") {
			return true
		}
		if !strings.Contains(strings.TrimPrefix(path, "./"), "/") {
			return false
		}
	}
	return false
}
