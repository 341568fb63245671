package images

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
)

// WriteArchive writes one image as an OCI archive. Importing it keeps the manifest and so the digest, by which a second
// import of the same content is known to be needless; an archive of docker's kind would get a new one.
func WriteArchive(path string, image Named) error {
	folder, err := os.MkdirTemp("", "pillion-image-")
	if err != nil {
		return fmt.Errorf("writing image %s: %w", image.Name, err)
	}
	defer func() { _ = os.RemoveAll(folder) }()
	oci, err := layout.Write(folder, empty.Index)
	if err == nil {
		err = oci.AppendImage(image.Image, layout.WithAnnotations(map[string]string{"io.containerd.image.name": image.Name}))
	}
	if err == nil {
		err = archive(path, folder)
	}
	if err != nil {
		return fmt.Errorf("writing image %s: %w", image.Name, err)
	}
	return nil
}

func archive(path, folder string) error {
	out, err := os.Create(path)
	if err != nil {
		return err
	}
	w := tar.NewWriter(out)
	return errors.Join(addFolder(w, folder), w.Close(), out.Close())
}

func addFolder(w *tar.Writer, folder string) error {
	return filepath.WalkDir(folder, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		name, err := filepath.Rel(folder, path)
		if err != nil {
			return err
		}
		if err := w.WriteHeader(&tar.Header{Name: filepath.ToSlash(name), Size: info.Size(), Mode: 0o644}); err != nil {
			return err
		}
		file, err := os.Open(path)
		if err != nil {
			return err
		}
		_, err = io.Copy(w, file)
		return errors.Join(err, file.Close())
	})
}
