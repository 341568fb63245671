package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/spf13/cobra"

	"github.com/pillion-mesh/pillion/test/cluster/images"
)

// imageCommand writes the images people deploy, without a container engine: the same that the Dockerfile describes.
func imageCommand() *cobra.Command {
	var out, tag string
	c := &cobra.Command{
		Use: "image", Short: "Write the operator's and the sidecar's image as archives for `docker load` or a registry",
		Args: usageArgs(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error { return writeImages(c.Context(), out, tag, c.OutOrStdout()) },
	}
	c.Flags().StringVar(&out, "out", "dist", "`folder` to write to")
	c.Flags().StringVar(&tag, "tag", "dev", "`tag` of the images, and the version the programs tell")
	return c
}

func writeImages(ctx context.Context, folder, tag string, out io.Writer) error {
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	for _, spec := range images.Product(tag) {
		reference, err := name.NewTag(spec.Name)
		if err != nil {
			return usageError{fmt.Errorf("--tag %q: %w", tag, err)}
		}
		image, err := images.Build(ctx, spec)
		if err != nil {
			return err
		}
		file := filepath.Join(folder, strings.ReplaceAll(path.Base(spec.Name), ":", "-")+".tar")
		if err := tarball.WriteToFile(file, reference, image.Image); err != nil {
			return fmt.Errorf("writing image %s: %w", spec.Name, err)
		}
		info, err := os.Stat(file)
		if err != nil {
			return err
		}
		fmt.Fprintf(out, "%s     %.1f MiB     %s\n", spec.Name, float64(info.Size())/(1<<20), file)
	}
	return nil
}
