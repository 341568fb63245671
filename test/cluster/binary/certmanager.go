package binary

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	"github.com/pillion-mesh/pillion/test/cluster/progress"
)

var certManager = source{name: "certmanager", about: 1200, linker: "-s -w"}

const certManagerModule = "github.com/cert-manager/cert-manager"

// CertManager returns the path of the cert-manager binary and of a file with the CRDs of the same version.
func CertManager(ctx context.Context, root string, p *progress.Printer) (program, crds string, err error) {
	program, err = certManager.build(ctx, root, p, func(folder, output string) error {
		return writeCRDs(ctx, folder, crdFile(output))
	})
	return program, crdFile(program), err
}

func crdFile(program string) string { return program + ".crds.yaml" }

// writeCRDs copies the CRDs from cert-manager's module, so that a cached program needs no module cache.
func writeCRDs(ctx context.Context, folder, output string) error {
	out, err := goOutput(ctx, folder, "mod", "download", "-json", certManagerModule)
	if err != nil {
		return err
	}
	var module struct{ Dir string }
	if err := json.Unmarshal([]byte(out), &module); err != nil {
		return fmt.Errorf("looking for cert-manager's module: %w", err)
	}
	all, err := joinYAML(filepath.Join(module.Dir, "deploy", "crds"))
	if err != nil {
		return err
	}
	if err := os.WriteFile(output, all, 0o600); err != nil {
		return fmt.Errorf("keeping cert-manager's CRDs: %w", err)
	}
	return nil
}

// joinYAML makes one file of documents out of a folder's, each of which must be an object.
func joinYAML(folder string) ([]byte, error) {
	files, err := filepath.Glob(filepath.Join(folder, "*.yaml"))
	if err == nil && len(files) == 0 {
		err = os.ErrNotExist
	}
	if err != nil {
		return nil, fmt.Errorf("looking for cert-manager's CRDs in %s: %w", folder, err)
	}
	var all bytes.Buffer
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			return nil, fmt.Errorf("reading cert-manager's CRDs: %w", err)
		}
		_, _ = fmt.Fprintf(&all, "---\n%s\n", bytes.TrimPrefix(bytes.TrimSpace(data), []byte("---\n")))
	}
	return all.Bytes(), nil
}
