//go:build linux

package images

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/pillion-mesh/pillion/internal/capture/nstest"
	"github.com/pillion-mesh/pillion/test/cluster/binary"
)

// The variant's own programs, with nothing of this machine in reach: capture applies its rules by the image's iptables,
// its shell lists them, and a connection arrives at the proxy's port.
func TestVariantWithIptablesWorks(t *testing.T) {
	spec := Variant("test")
	spec.Binaries = spec.Binaries[1:] // the sidecar itself is in every image, and large
	image, err := BuildWithIptables(t.Context(), spec)
	if missing := new(binary.Missing); errors.As(err, &missing) && os.Getenv("PILLION_REQUIRE_NETNS") == "" {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	root := t.TempDir()
	unpackLayers(t, image, root)
	for _, variant := range []string{"nft", "legacy"} {
		t.Run(variant, func(t *testing.T) {
			pod := nstest.NewPod(t)
			pod.Serve(t, 15001)
			pod.Peer.Serve(t, 80)
			ended := pod.Thread(func() error {
				if err := enter(root); err != nil {
					return err
				}
				return errors.Join(within("/usr/local/bin/pillion-capture -i * -b * --record= --force-iptables-binary "+variant, `"backend":"iptables-`+variant+`"`, `"result":"applied"`),
					within("/usr/local/bin/pillion-capture verify -i * -b * --record=", `"result":"verified"`),
					shell("iptables-"+variant+" -t nat -S; ip6tables-"+variant+"-save -t nat", "-A ISTIO_REDIRECT -p tcp", "*nat", "15001"))
			})
			if err := <-ended; err != nil {
				t.Fatal(err)
			}
			pod.Must(t, func() error {
				got, err := nstest.Connect(nstest.Dial{UID: 1000, GID: 1000, Dst: netip.MustParseAddrPort("10.77.0.1:80")})
				if err == nil && got.Port != 15001 {
					t.Errorf("a connection arrived at port %d", got.Port)
				}
				return err
			})
		})
	}
}

// enter makes a folder all there is to the calling thread, with the file systems a container has.
func enter(root string) error {
	err := errors.Join(unix.Unshare(unix.CLONE_NEWNS), unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""))
	if err != nil {
		return err
	}
	for _, kind := range []string{"proc", "tmpfs"} {
		folder := filepath.Join(root, map[string]string{"proc": "proc", "tmpfs": "run"}[kind])
		if err := errors.Join(os.MkdirAll(folder, 0o755), unix.Mount(kind, folder, kind, 0, "")); err != nil {
			return fmt.Errorf("mounting %s: %w", kind, err)
		}
	}
	return nstest.Chroot(root)
}

// within runs a program of the image, whose output must hold some texts.
func within(line string, texts ...string) error {
	words := strings.Fields(line)
	return holds(exec.Command(words[0], words[1:]...), texts)
}

// shell does it by the image's shell.
func shell(line string, texts ...string) error {
	return holds(exec.Command("/bin/sh", "-c", line), texts)
}

func holds(cmd *exec.Cmd, texts []string) error {
	cmd.Stdin = strings.NewReader("") // there is no /dev/null
	cmd.Env = []string{"PATH=/usr/local/bin:/usr/sbin:/usr/bin:/bin"}
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s: %w: %s", cmd, err, out)
	}
	for _, text := range texts {
		if !strings.Contains(string(out), text) {
			err = errors.Join(err, fmt.Errorf("%s: %q is missing in\n%s", cmd, text, out))
		}
	}
	return err
}

// unpackLayers writes an image's files to a folder.
func unpackLayers(t *testing.T, image Named, root string) {
	t.Helper()
	layers, err := image.Image.Layers()
	if err != nil {
		t.Fatal(err)
	}
	for _, layer := range layers {
		content, err := layer.Uncompressed()
		if err != nil {
			t.Fatal(err)
		}
		for r := tar.NewReader(content); ; {
			header, err := r.Next()
			if errors.Is(err, io.EOF) {
				break
			}
			if err == nil {
				err = unpackFile(filepath.Join(root, header.Name), header, r)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
	}
}

func unpackFile(path string, header *tar.Header, content io.Reader) error {
	switch header.Typeflag {
	case tar.TypeDir:
		return os.MkdirAll(path, 0o755)
	case tar.TypeSymlink:
		return os.Symlink(header.Linkname, path)
	}
	data, err := io.ReadAll(content)
	if err != nil {
		return err
	}
	return os.WriteFile(path, data, os.FileMode(header.Mode))
}
