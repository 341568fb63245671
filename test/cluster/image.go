package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/spf13/cobra"

	"github.com/pillion-mesh/pillion/test/cluster/binary"
	"github.com/pillion-mesh/pillion/test/cluster/images"
)

// imageCommand writes the images people deploy, without a container engine: the same that the Dockerfile describes.
func imageCommand() *cobra.Command {
	var out, tag string
	c := &cobra.Command{
		Use: "image", Short: "Write the operator's image, the sidecar's and its variant with iptables as archives for `docker load` or a registry",
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
		if err := writeImage(ctx, folder, spec, images.Build, out); err != nil {
			return err
		}
	}
	err := writeImage(ctx, folder, images.Variant(tag), images.BuildWithIptables, out)
	if missing := new(binary.Missing); errors.As(err, &missing) {
		fmt.Fprintf(out, "left out: %s: %v\n", images.Variant(tag).Name, missing)
		return nil
	}
	return err
}

type builder func(context.Context, images.Spec) (images.Named, error)

func writeImage(ctx context.Context, folder string, spec images.Spec, build builder, out io.Writer) error {
	reference, err := name.NewTag(spec.Name)
	if err != nil {
		return usageError{fmt.Errorf("the image would be named %q: %w", spec.Name, err)}
	}
	image, err := build(ctx, spec)
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
	return nil
}
