// Package images makes the container images tests use, FROM scratch, without an engine or a network: a static binary
// built from this checkout, /etc/passwd, a configuration. In: a package path. Out: an image whose digest depends on its
// content only, and archives containerd imports. Start with Spec; archive.go writes them to disk.
package images

import (
	"archive/tar"
	"bytes"
	"cmp"
	"context"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/pillion-mesh/pillion/test/cluster/binary"
	"github.com/pillion-mesh/pillion/test/cluster/state"
)

// Named is an image and the name pods use.
type Named struct {
	Name  string // localhost/app:1
	Image v1.Image
}

// Spec describes an image.
type Spec struct {
	Name       string
	Binaries   []Binary
	Entrypoint []string
	User       string // "": root
	Passwd     string // further lines of /etc/passwd
	Path       string // where programs are looked for; "": the usual folders
	Version    string // what the binaries call themselves; "": dev
}

// Binary is a program in an image.
type Binary struct {
	Package      string // of this repository: ./sidecar
	Path         string // in the image: /usr/local/bin/pillion-sidecar
	Capabilities []byte // content of the xattr security.capability, nil for none
}

const bin = "/usr/local/bin/"

// Specs are the images of the project and of its tests, by what `load-image`, demo and e2e call them.
func Specs() []Spec {
	return append(project("localhost/pillion:test", "localhost/pillion-sidecar:test", ""), appSpec())
}

// Product are the images people deploy, as config/default names them.
func Product(tag string) []Spec {
	return project("pillion/pillion:"+tag, "pillion/pillion-sidecar:"+tag, tag)
}

func project(operator, sidecar, version string) []Spec {
	return []Spec{
		{
			Name: operator, Version: version, User: "65532:65532", Entrypoint: []string{bin + "pillion"},
			Binaries: []Binary{{Package: ".", Path: bin + "pillion"}},
			Passwd:   "pillion:x:65532:65532::/:/sbin/nologin\n",
		},
		{
			Name: sidecar, Version: version, User: "1337:1337", Entrypoint: []string{bin + "pillion-sidecar"},
			Binaries: []Binary{
				{Package: "./sidecar", Path: bin + "pillion-sidecar"},
				{Package: "./sidecar/capture", Path: bin + "pillion-capture"},
			},
			Passwd: "istio-proxy:x:1337:1337::/:/sbin/nologin\n",
		},
	}
}

func appSpec() Spec {
	return Spec{
		Name: "localhost/app:1", User: "1000:1000", Entrypoint: []string{bin + "app"},
		Binaries: []Binary{{Package: "./test/app", Path: bin + "app"}},
		Passwd:   "app:x:1000:1000::/:/sbin/nologin\n",
	}
}

// App builds localhost/app:1, the application tests put behind and beside sidecars.
func App(ctx context.Context) (Named, error) { return Build(ctx, appSpec()) }

// ADS builds localhost/ads:1, the control plane of tests on a node.
func ADS(ctx context.Context) (Named, error) {
	return Build(ctx, Spec{
		Name: "localhost/ads:1", User: "1000:1000", Entrypoint: []string{bin + "ads"},
		Binaries: []Binary{{Package: "./test/ads", Path: bin + "ads"}},
		Passwd:   "ads:x:1000:1000::/:/sbin/nologin\n",
	})
}

// Pause builds localhost/pause:1, which holds a pod's namespaces.
func Pause(ctx context.Context) (Named, error) {
	return Build(ctx, Spec{
		Name: "localhost/pause:1", User: "65535:65535", Entrypoint: []string{"/pause"},
		Binaries: []Binary{{Package: "./test/cluster/pause", Path: "/pause"}},
	})
}

// All builds every image of Specs.
func All(ctx context.Context) ([]Named, error) {
	var all []Named
	for _, s := range Specs() {
		image, err := Build(ctx, s)
		if err != nil {
			return nil, err
		}
		all = append(all, image)
	}
	return all, nil
}

// Build compiles what s names and makes the image.
func Build(ctx context.Context, s Spec) (Named, error) {
	files, err := contents(ctx, s)
	if err != nil {
		return Named{}, err
	}
	return assemble(s, files)
}

// contents are the files that s names.
func contents(ctx context.Context, s Spec) ([]file, error) {
	files := []file{{path: "/etc/passwd", data: []byte("root:x:0:0::/:/sbin/nologin\n" + s.Passwd)}}
	for _, b := range s.Binaries {
		data, err := compile(ctx, b, s.Version)
		if err != nil {
			return nil, fmt.Errorf("building image %s: %w", s.Name, err)
		}
		files = append(files, file{path: b.Path, data: data, mode: 0o755, capabilities: b.Capabilities})
	}
	return files, nil
}

// compile keeps the program in the cache folder: go build doesn't link again what is up to date. A lock keeps others
// from reading half of one.
func compile(ctx context.Context, b Binary, version string) ([]byte, error) {
	root, err := binary.Root(ctx)
	if err != nil {
		return nil, err
	}
	cache, err := binary.Cache()
	if err != nil {
		return nil, err
	}
	lock, err := state.Exclusive(ctx, filepath.Join(cache, "images.lock"))
	if err != nil {
		return nil, err
	}
	defer lock.Release()
	output := filepath.Join(cache, "image-"+path.Base(b.Path))
	if err := binary.BuildLinux(ctx, root, output, b.Package, version); err != nil {
		return nil, err
	}
	return os.ReadFile(output)
}

// file is one in an image; no mode means 0644.
type file struct {
	path         string
	link         string // where it leads, if it is a link
	data         []byte
	mode         int64
	capabilities []byte
}

func assemble(s Spec, files []file) (Named, error) {
	content, err := layer(files)
	if err != nil {
		return Named{}, fmt.Errorf("assembling image %s: %w", s.Name, err)
	}
	base := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	image, err := mutate.Append(base, mutate.Addendum{
		Layer:   static.NewLayer(content, types.OCIUncompressedLayer),
		History: v1.History{CreatedBy: "pillion test/cluster/images"},
	})
	if err != nil {
		return Named{}, fmt.Errorf("assembling image %s: %w", s.Name, err)
	}
	config, err := image.ConfigFile()
	if err != nil {
		return Named{}, fmt.Errorf("assembling image %s: %w", s.Name, err)
	}
	config = config.DeepCopy()
	config.OS, config.Architecture = "linux", runtime.GOARCH
	config.Config.Entrypoint, config.Config.User = s.Entrypoint, s.User
	config.Config.Env = []string{"PATH=" + cmp.Or(s.Path, "/usr/local/bin:/usr/bin:/bin")}
	image, err = mutate.ConfigFile(image, config)
	if err != nil {
		return Named{}, fmt.Errorf("assembling image %s: %w", s.Name, err)
	}
	return Named{Name: s.Name, Image: image}, nil
}

// layer is a tar with nothing in it that changes from run to run: fixed times, sorted, parents before children.
func layer(files []file) ([]byte, error) {
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	if err := folders(w, files); err != nil {
		return nil, err
	}
	slices.SortFunc(files, func(a, b file) int { return strings.Compare(a.path, b.path) })
	for _, f := range files {
		header := &tar.Header{
			Name: strings.TrimPrefix(f.path, "/"), Size: int64(len(f.data)), Mode: max(f.mode, 0o644), ModTime: time.Unix(0, 0),
		}
		if f.link != "" {
			header.Typeflag, header.Linkname, header.Mode = tar.TypeSymlink, f.link, 0o777
		}
		if f.capabilities != nil {
			header.PAXRecords = map[string]string{"SCHILY.xattr.security.capability": string(f.capabilities)}
			header.Format = tar.FormatPAX
		}
		if err := w.WriteHeader(header); err != nil {
			return nil, err
		}
		if _, err := w.Write(f.data); err != nil {
			return nil, err
		}
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

// folders writes an entry for each parent: without one, who may enter it is the importer's choice.
func folders(w *tar.Writer, files []file) error {
	var all []string
	for _, f := range files {
		for dir := path.Dir(f.path); dir != "/" && !slices.Contains(all, dir); dir = path.Dir(dir) {
			all = append(all, dir)
		}
	}
	slices.Sort(all)
	for _, dir := range all {
		header := &tar.Header{Typeflag: tar.TypeDir, Name: strings.TrimPrefix(dir, "/") + "/", Mode: 0o755, ModTime: time.Unix(0, 0)}
		if err := w.WriteHeader(header); err != nil {
			return err
		}
	}
	return nil
}
