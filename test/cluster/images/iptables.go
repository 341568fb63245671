package images

import (
	"context"
	"debug/elf"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/pillion-mesh/pillion/test/cluster/binary"
)

// Variant is the sidecar's image for kernels without nftables and for people who need a shell, as config/default would
// name it: what the Dockerfile's target sidecar-iptables makes.
func Variant(tag string) Spec { return variantOf(Product(tag)[1]) }

// TestVariant is that image as tests on a node call it, beside those of Specs.
func TestVariant() Spec { return variantOf(Specs()[1]) }

func variantOf(s Spec) Spec {
	s.Name += "-iptables"
	s.Path = "/usr/local/bin:/usr/sbin:/usr/bin:/bin"
	return s
}

// BuildWithIptables is Build with both variants of iptables and a shell beside the binaries. They are this machine's,
// from the distribution's packages; a *binary.Missing says which aren't installed.
func BuildWithIptables(ctx context.Context, s Spec) (Named, error) {
	files, err := contents(ctx, s)
	if err != nil {
		return Named{}, err
	}
	tools, err := iptables()
	if err != nil {
		return Named{}, fmt.Errorf("building image %s: %w", s.Name, err)
	}
	return assemble(s, append(files, tools...))
}

// The binaries behind iptables' names.
const (
	nftMulti    = "/usr/sbin/xtables-nft-multi"
	legacyMulti = "/usr/sbin/xtables-legacy-multi"
)

// iptables are the programs, their names, and all they load: libraries and one module a match or target.
func iptables() ([]file, error) {
	found, err := binary.Find([]binary.Program{
		{Name: filepath.Base(nftMulti), Package: "iptables", Folders: []string{filepath.Dir(nftMulti)}},
		{Name: filepath.Base(legacyMulti), Package: "iptables", Folders: []string{filepath.Dir(legacyMulti)}},
		{Name: "dash", Package: "dash"},
	})
	if err != nil {
		return nil, err
	}
	loader, err := interpreter(found["dash"])
	if err != nil {
		return nil, err
	}
	c := collection{libraries: filepath.Dir(loader)}
	modules, _ := filepath.Glob(filepath.Join(c.libraries, "xtables", "*.so"))
	if len(modules) == 0 {
		return nil, fmt.Errorf("%s/xtables holds no modules of iptables", c.libraries)
	}
	c.add(nftMulti, found[filepath.Base(nftMulti)])
	c.add(legacyMulti, found[filepath.Base(legacyMulti)])
	c.add("/usr/bin/dash", found["dash"])
	for _, m := range modules {
		c.add(m, m)
	}
	return append(c.files, names()...), c.err
}

// names are the links by which the programs are called; the plain ones mean variant nft.
func names() []file {
	links := []file{{path: "/bin/sh", link: "/usr/bin/dash"}}
	for _, family := range []string{"iptables", "ip6tables"} {
		for _, what := range []string{"", "-restore", "-save"} {
			links = append(links, file{path: "/usr/sbin/" + family + "-nft" + what, link: nftMulti},
				file{path: "/usr/sbin/" + family + "-legacy" + what, link: legacyMulti},
				file{path: "/usr/sbin/" + family + what, link: nftMulti})
		}
	}
	return links
}

// interpreter is the program that loads a program's libraries; libraries are in the same folder.
func interpreter(program string) (string, error) {
	binary, err := elf.Open(program)
	if err != nil {
		return "", fmt.Errorf("reading %s: %w", program, err)
	}
	defer func() { _ = binary.Close() }()
	section := binary.Section(".interp")
	if section == nil {
		return "", fmt.Errorf("%s has no interpreter", program)
	}
	name, err := section.Data()
	if err != nil {
		return "", fmt.Errorf("reading %s: %w", program, err)
	}
	return filepath.EvalSymlinks(strings.TrimRight(string(name), "\x00"))
}

// collection are programs and everything they load.
type collection struct {
	libraries string // folder
	files     []file
	err       error
}

// add puts a file of this machine at a path of the image, and the libraries it wants beside it.
func (c *collection) add(path, source string) {
	if slices.ContainsFunc(c.files, func(f file) bool { return f.path == path }) {
		return
	}
	data, err := os.ReadFile(source)
	c.files = append(c.files, file{path: path, data: data, mode: 0o755})
	binary, failed := elf.Open(source)
	if c.err = errors.Join(c.err, err, failed); failed != nil {
		return
	}
	defer func() { _ = binary.Close() }()
	needed, err := binary.ImportedLibraries()
	c.err = errors.Join(c.err, err)
	for _, name := range needed {
		library := filepath.Join(c.libraries, name)
		c.add(library, library)
	}
	if section := binary.Section(".interp"); section != nil {
		name, err := section.Data()
		c.err = errors.Join(c.err, err)
		c.loader(strings.TrimRight(string(name), "\x00"))
	}
}

// loader puts the interpreter where programs look for it: a link to the one among the libraries.
func (c *collection) loader(path string) {
	real, err := filepath.EvalSymlinks(path)
	if err != nil {
		c.err = errors.Join(c.err, err)
		return
	}
	c.add(real, real)
	if path != real && !slices.ContainsFunc(c.files, func(f file) bool { return f.path == path }) {
		c.files = append(c.files, file{path: path, link: real})
	}
}
