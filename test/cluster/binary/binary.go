// Package binary finds or builds the programs a test cluster runs. In: this repository and the machine's PATH. Out:
// absolute paths. What has to come from the distribution and isn't there becomes a *Missing that names the packages;
// what is built from source is kept in the user's cache folder. Start here; source.go builds what has a module of its
// own, kube.go and certmanager.go say what that is.
package binary

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
)

// Program is one the distribution ships.
type Program struct {
	Name    string
	Package string // of Debian
	Folders []string
}

// sbin isn't in every user's PATH; the CNI plugins never are.
var sbin = []string{"/usr/sbin", "/sbin", "/usr/local/sbin"}

// CNIFolders are where distributions put CNI plugins.
func CNIFolders() []string { return []string{"/usr/lib/cni", "/opt/cni/bin", "/usr/libexec/cni"} }

// ForAPI is what an API-only cluster needs, ForNode what a node needs.
func ForAPI() []Program { return []Program{{Name: "etcd", Package: "etcd-server"}} }

// ForNode is what a node needs.
func ForNode() []Program {
	return append(ForAPI(),
		Program{Name: "containerd", Package: "containerd"},
		Program{Name: "ctr", Package: "containerd"},
		Program{Name: "containerd-shim-runc-v2", Package: "containerd"},
		Program{Name: "runc", Package: "runc", Folders: sbin},
		Program{Name: "bridge", Package: "containernetworking-plugins", Folders: CNIFolders()},
		Program{Name: "host-local", Package: "containernetworking-plugins", Folders: CNIFolders()},
		Program{Name: "nft", Package: "nftables", Folders: sbin},
		Program{Name: "iptables", Package: "iptables", Folders: sbin},
		Program{Name: "ip", Package: "iproute2", Folders: sbin},
		Program{Name: "nsenter", Package: "util-linux"},
	)
}

// Missing says which programs aren't installed. Its text ends in the command that installs them.
type Missing struct {
	Programs []string
	Packages []string
}

func (m *Missing) Error() string {
	return fmt.Sprintf("not installed: %s; install with: apt-get install -y %s",
		strings.Join(m.Programs, ", "), strings.Join(m.Packages, " "))
}

// Find returns the path of each program, or a *Missing with all that aren't there.
func Find(programs []Program) (map[string]string, error) {
	paths := map[string]string{}
	missing := &Missing{}
	for _, p := range programs {
		path, ok := look(p)
		if ok {
			paths[p.Name] = path
			continue
		}
		missing.Programs = append(missing.Programs, p.Name)
		if !slices.Contains(missing.Packages, p.Package) {
			missing.Packages = append(missing.Packages, p.Package)
		}
	}
	if len(missing.Programs) > 0 {
		return nil, missing
	}
	return paths, nil
}

func look(p Program) (string, bool) {
	if path, err := exec.LookPath(p.Name); err == nil {
		return path, true
	}
	for _, folder := range p.Folders {
		if path, err := exec.LookPath(filepath.Join(folder, p.Name)); err == nil {
			return path, true
		}
	}
	return "", false
}

// Cache is the folder that holds what was built: pillion in the user's cache folder.
func Cache() (string, error) {
	base, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("no cache folder: %w; set HOME or XDG_CACHE_HOME", err)
	}
	dir := filepath.Join(base, "pillion")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", fmt.Errorf("making the cache folder: %w", err)
	}
	return dir, nil
}

const module = "github.com/pillion-mesh/pillion"

// Root is this repository's folder: the module around the working directory.
func Root(ctx context.Context) (string, error) {
	out, err := goOutput(ctx, "", "list", "-m", "-f", "{{.Path}}\n{{.Dir}}")
	if err != nil {
		return "", err
	}
	path, dir, _ := strings.Cut(strings.TrimSpace(out), "\n")
	if path != module {
		return "", fmt.Errorf("the working directory is in module %q, not in %s: run from a checkout of it", path, module)
	}
	return dir, nil
}

// Build makes a static program from a package of this repository for this system.
func Build(ctx context.Context, root, output, pkg string) error {
	return run(buildCommand(ctx, root, output, pkg, ""))
}

// BuildLinux makes one for an image.
func BuildLinux(ctx context.Context, root, output, pkg, version string) error {
	command := buildCommand(ctx, root, output, pkg, version)
	command.Env = append(command.Env, "GOOS=linux")
	return run(command)
}

func buildCommand(ctx context.Context, root, output, pkg, version string) *exec.Cmd {
	flags := "-s -w"
	if version != "" {
		flags += " -X github.com/pillion-mesh/pillion/internal/version.Version=" + version
	}
	return goCommand(ctx, root, "build", "-trimpath", "-tags=grpcnotrace", "-buildvcs=false", "-ldflags="+flags, "-o", output, pkg)
}

func goCommand(ctx context.Context, dir string, args ...string) *exec.Cmd {
	command := exec.CommandContext(ctx, goProgram(), args...)
	command.Dir = dir
	command.Env = append(os.Environ(), "CGO_ENABLED=0", "GOWORK=off")
	return command
}

// goProgram prefers the PATH's; a test run by an absolute go has none there.
func goProgram() string {
	if path, err := exec.LookPath("go"); err == nil {
		return path
	}
	return filepath.Join(runtime.GOROOT(), "bin", "go") //nolint:staticcheck // the toolchain that built this
}

func goOutput(ctx context.Context, dir string, args ...string) (string, error) {
	var out strings.Builder
	command := goCommand(ctx, dir, args...)
	command.Stdout = &out
	if err := run(command); err != nil {
		return "", err
	}
	return out.String(), nil
}

// run runs command and puts what it said last into the error.
func run(command *exec.Cmd) error {
	var said tail
	command.Stderr = &said
	if err := command.Run(); err != nil {
		return fmt.Errorf("%s: %w\n%s", strings.Join(command.Args, " "), err, said.String())
	}
	return nil
}
