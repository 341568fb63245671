package images

import (
	"archive/tar"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/v1/layout"
)

func example(t *testing.T, content string) Named {
	t.Helper()
	s := Spec{Name: "localhost/x:1", Entrypoint: []string{"/usr/local/bin/x"}, User: "7:7"}
	image, err := assemble(s, []file{
		{path: "/usr/local/bin/x", data: []byte(content), mode: 0o755, capabilities: []byte{1, 0, 0, 2}},
		{path: "/etc/passwd", data: []byte("root\n")},
	})
	if err != nil {
		t.Fatal(err)
	}
	return image
}

func TestSameContentSameDigest(t *testing.T) {
	digest := func(n Named) string {
		d, err := n.Image.Digest()
		if err != nil {
			t.Fatal(err)
		}
		return d.String()
	}
	first := digest(example(t, "a"))
	if again := digest(example(t, "a")); again != first {
		t.Errorf("the same content has digests %s and %s", first, again)
	}
	if other := digest(example(t, "b")); other == first {
		t.Error("other content has the same digest")
	}
}

func TestLayer(t *testing.T) {
	layers, err := example(t, "a").Image.Layers()
	if err != nil {
		t.Fatal(err)
	}
	content, err := layers[0].Uncompressed()
	if err != nil {
		t.Fatal(err)
	}
	type entry struct {
		Name       string
		Mode       int64
		Capability string
	}
	var got []entry
	for r := tar.NewReader(content); ; {
		header, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, entry{header.Name, header.Mode, header.PAXRecords["SCHILY.xattr.security.capability"]})
	}
	want := []entry{
		{"etc/", 0o755, ""}, {"usr/", 0o755, ""}, {"usr/local/", 0o755, ""}, {"usr/local/bin/", 0o755, ""},
		{"etc/passwd", 0o644, ""}, {"usr/local/bin/x", 0o755, "\x01\x00\x00\x02"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("entries (- want, + got):\n%s", diff)
	}
}

// TestArchiveKeepsTheDigest: by it a second import is known to be needless.
func TestArchiveKeepsTheDigest(t *testing.T) {
	image := example(t, "a")
	want, err := image.Image.Digest()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "x.tar")
	if err := WriteArchive(path, image); err != nil {
		t.Fatal(err)
	}
	index, err := layout.ImageIndexFromPath(unpack(t, path))
	if err != nil {
		t.Fatal(err)
	}
	manifest, err := index.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	if len(manifest.Manifests) != 1 || manifest.Manifests[0].Digest != want {
		t.Fatalf("the archive holds %+v, want %s", manifest.Manifests, want)
	}
	if name := manifest.Manifests[0].Annotations["io.containerd.image.name"]; name != "localhost/x:1" {
		t.Errorf("the archive names it %q", name)
	}
}

func unpack(t *testing.T, path string) string {
	t.Helper()
	archive, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = archive.Close() }()
	folder := t.TempDir()
	for r := tar.NewReader(archive); ; {
		header, err := r.Next()
		if errors.Is(err, io.EOF) {
			return folder
		}
		if err != nil {
			t.Fatal(err)
		}
		data, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		target := filepath.Join(folder, filepath.FromSlash(header.Name))
		if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(target, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}
