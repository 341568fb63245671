//go:build linux

// Command size measures what Pillion takes of others: the size of both images, and the memory of an idle sidecar. It
// prints a figure a line, with its bar beside it where it has one. Read this file, then idle.go. `go run
// ./test/bench/size` runs it; memory needs root.
package main

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"syscall"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/pillion-mesh/pillion/test/cluster/images"
)

// Bars, in MiB.
const (
	operatorBar = 70
	sidecarBar  = 25
	idleBar     = 45
)

const mib = 1 << 20

func main() {
	runtime.LockOSThread() // the sidecar dies with the thread that started it
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := bench(ctx, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "bench size:", err)
		os.Exit(1) //nolint:gocritic // nothing is left to stop
	}
}

func bench(ctx context.Context, w io.Writer) error {
	specs := images.Product("bench")
	operator, err := images.Build(ctx, specs[0])
	if err != nil {
		return err
	}
	sidecar, err := images.Build(ctx, specs[1])
	if err != nil {
		return err
	}
	for _, line := range []struct {
		name  string
		image v1.Image
		bar   int
	}{{"operator", operator.Image, operatorBar}, {"sidecar", sidecar.Image, sidecarBar}} {
		size, err := sizeOf(line.image)
		if err != nil {
			return fmt.Errorf("measuring the %s's image: %w", line.name, err)
		}
		fmt.Fprintf(w, "size/image_%s mib %.1f (bar %d)\n", line.name, float64(size)/mib, line.bar)
	}
	return memory(ctx, w, sidecar.Image)
}

// sizeOf is what a node's disk holds: the layers, which aren't compressed.
func sizeOf(image v1.Image) (total int64, err error) {
	layers, err := image.Layers()
	if err != nil {
		return 0, err
	}
	for _, l := range layers {
		size, err := l.Size()
		if err != nil {
			return 0, err
		}
		total += size
	}
	return total, nil
}

func memory(ctx context.Context, w io.Writer, image v1.Image) error {
	if os.Getuid() != 0 {
		fmt.Fprintln(w, "size/sidecar skipped: only root may run a sidecar as UID 1337 in a network namespace of its own")
		return nil
	}
	dir, err := os.MkdirTemp("", "pillion-bench-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	binary := filepath.Join(dir, "pillion-sidecar")
	if err := extract(image, "usr/local/bin/pillion-sidecar", binary); err != nil {
		return fmt.Errorf("taking the sidecar out of its image: %w", err)
	}
	used, err := idle(ctx, binary, dir)
	if err != nil {
		return fmt.Errorf("measuring an idle sidecar: %w", err)
	}
	fmt.Fprintf(w, "size/sidecar rss_idle_mib %.1f\n", float64(used.rss)/mib)
	fmt.Fprintf(w, "size/sidecar pss_idle_mib %.1f (bar %d)\n", float64(used.pss)/mib, idleBar)
	return nil
}

// extract writes one file of an image to path, so that what is measured is what is shipped.
func extract(image v1.Image, name, path string) error {
	layers, err := image.Layers()
	if err != nil {
		return err
	}
	for _, l := range layers {
		content, err := l.Uncompressed()
		if err != nil {
			return err
		}
		found, err := find(tar.NewReader(content), name, path)
		if err := errors.Join(err, content.Close()); found || err != nil {
			return err
		}
	}
	return fmt.Errorf("there is no %s", name)
}

func find(r *tar.Reader, name, path string) (bool, error) {
	for {
		header, err := r.Next()
		switch {
		case errors.Is(err, io.EOF):
			return false, nil
		case err != nil:
			return false, err
		case header.Name != name:
			continue
		}
		out, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o755) // UID 1337 runs it
		if err != nil {
			return false, err
		}
		_, err = io.Copy(out, r)
		return true, errors.Join(err, out.Close())
	}
}
