package cluster

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/pillion-mesh/pillion/test/cluster/component"
	"github.com/pillion-mesh/pillion/test/cluster/images"
)

const containerdSocket = component.Socket

var errNoNode = errors.New("an API-only cluster has no images: nothing runs pods there")

// LoadImages makes images known to the node. Those it has already, by digest, aren't imported again.
func (c *Cluster) LoadImages(ctx context.Context, all ...images.Named) error {
	if c.Record.APIOnly {
		return errNoNode
	}
	for _, image := range all {
		if err := c.loadImage(ctx, image); err != nil {
			return fmt.Errorf("loading image %s: %w", image.Name, err)
		}
	}
	return nil
}

func (c *Cluster) loadImage(ctx context.Context, image images.Named) error {
	digest, err := image.Image.Digest()
	if err != nil {
		return err
	}
	listed, err := c.listed(ctx, image.Name)
	if err != nil {
		return err
	}
	if strings.Contains(listed, digest.String()) {
		return nil
	}
	file, err := os.CreateTemp(string(c.Dir), "image-*.tar")
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(file.Name()) }()
	if err := file.Close(); err != nil {
		return err
	}
	if err := images.WriteArchive(file.Name(), image); err != nil {
		return err
	}
	if err := c.importArchive(ctx, file.Name()); err != nil {
		return err
	}
	return c.waitManaged(ctx, image.Name, digest.String())
}

// LoadArchive imports a docker or OCI archive.
func (c *Cluster) LoadArchive(ctx context.Context, path string) error {
	if c.Record.APIOnly {
		return errNoNode
	}
	absolute, err := filepath.Abs(path)
	if err != nil {
		return fmt.Errorf("importing %s: %w", path, err)
	}
	return c.importArchive(ctx, absolute)
}

// importArchive gives the archive on stdin: the node has a /run and /var/lib of its own, where the file might be.
func (c *Cluster) importArchive(ctx context.Context, path string) error {
	file, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("importing an image: %w", err)
	}
	defer func() { _ = file.Close() }()
	command := c.Command(ctx, "ctr", "images", "import", "--snapshotter", c.snapshotter(), "-")
	command.Stdin = file
	if _, err := output(command); err != nil {
		return fmt.Errorf("importing %s: %w", path, err)
	}
	return nil
}

func (c *Cluster) listed(ctx context.Context, name string) (string, error) {
	return output(c.Command(ctx, "ctr", "images", "list", "name=="+name))
}

// waitManaged waits until the kubelet's side of containerd has taken note; before that a pod would try to pull.
func (c *Cluster) waitManaged(ctx context.Context, name, digest string) error {
	ctx, cancel := context.WithTimeoutCause(ctx, 10*time.Second, errors.New("containerd's CRI doesn't list it after 10s"))
	defer cancel()
	for {
		listed, err := c.listed(ctx, name)
		if err != nil {
			return err
		}
		if strings.Contains(listed, digest) && strings.Contains(listed, "io.cri-containerd.image=managed") {
			return nil
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func (c *Cluster) snapshotter() string { return snapshotterFor(c.Dir) }
