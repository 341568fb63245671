package binary

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestFindNamesThePackages(t *testing.T) {
	folder := t.TempDir()
	t.Setenv("PATH", folder)
	if err := os.WriteFile(filepath.Join(folder, "etcd"), []byte("#!/bin/sh\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	wanted := append(ForAPI(), Program{Name: "one", Package: "p"}, Program{Name: "two", Package: "p"}, Program{Name: "three", Package: "q"})
	_, err := Find(wanted)
	var missing *Missing
	if !errors.As(err, &missing) {
		t.Fatalf("got %v", err)
	}
	if want := "not installed: one, two, three; install with: apt-get install -y p q"; err.Error() != want {
		t.Errorf("got  %s\nwant %s", err, want)
	}
	paths, err := Find(ForAPI())
	if err != nil || paths["etcd"] != filepath.Join(folder, "etcd") {
		t.Errorf("found %v, %v", paths, err)
	}
}

func TestFindLooksOutsideThePath(t *testing.T) {
	t.Setenv("PATH", "")
	folder := t.TempDir()
	if err := os.WriteFile(filepath.Join(folder, "host-local"), nil, 0o755); err != nil {
		t.Fatal(err)
	}
	paths, err := Find([]Program{{Name: "host-local", Folders: []string{"/nowhere", folder}}})
	if err != nil || paths["host-local"] != filepath.Join(folder, "host-local") {
		t.Errorf("found %v, %v", paths, err)
	}
}

func TestHashFollowsTheSources(t *testing.T) {
	folder := t.TempDir()
	hash := func(goMod string) string {
		for name, content := range map[string]string{"go.mod": goMod, "go.sum": "s", "main.go": "package main"} {
			if err := os.WriteFile(filepath.Join(folder, name), []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		h, err := kube.hash(t.Context(), folder)
		if err != nil {
			t.Fatal(err)
		}
		return h
	}
	first := hash("module a\n")
	if first != hash("module a\n") {
		t.Error("the same sources give another hash")
	}
	if first == hash("module b\n") {
		t.Error("other sources give the same hash")
	}
}

func TestJoinYAML(t *testing.T) {
	folder := t.TempDir()
	if _, err := joinYAML(folder); err == nil {
		t.Error("no files are no error")
	}
	for name, content := range map[string]string{"a.yaml": "---\nkind: A\n", "b.yaml": "kind: B\n\n", "c.md": "none"} {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	got, err := joinYAML(folder)
	if want := "---\nkind: A\n---\nkind: B\n"; err != nil || string(got) != want {
		t.Errorf("got %q, %v, want %q", got, err, want)
	}
}

func TestCounterCountsLinesHoweverTheyArrive(t *testing.T) {
	var seen []string
	c := &counter{report: func(n int, pkg string) { seen = append(seen, pkg) }}
	for _, part := range []string{"fmt\nio", "\n", "", "k8s.io/api\nunfinished"} {
		if n, err := c.Write([]byte(part)); n != len(part) || err != nil {
			t.Fatal(n, err)
		}
	}
	if got := strings.Join(seen, " "); got != "fmt io k8s.io/api" {
		t.Errorf("counted %q", got)
	}
}
