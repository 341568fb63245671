// Package install puts Pillion into a running test cluster the way a user does: images, kubectl apply -k, wait. The demo
// and the e2e tests share it. Start with Pillion; kubectl.go runs kubectl, metrics.go reads a sidecar's counters.
package install

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"

	"github.com/pillion-mesh/pillion/test/cluster/binary"
	"github.com/pillion-mesh/pillion/test/cluster/cluster"
	"github.com/pillion-mesh/pillion/test/cluster/images"
	"github.com/pillion-mesh/pillion/test/cluster/progress"
)

// Kubectl runs kubectl against one cluster: the one built with the test cluster, so that none need be installed.
type Kubectl struct {
	Program    string // the multi-call Kubernetes binary
	Kubeconfig string
	Dir        string // where relative paths are looked up: the repository
}

// Run returns what kubectl prints on stdout. The error carries what it printed on stderr.
func (k Kubectl) Run(ctx context.Context, args ...string) (string, error) {
	return k.RunWith(ctx, nil, args...)
}

// RunWith is Run with something on stdin.
func (k Kubectl) RunWith(ctx context.Context, stdin []byte, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, k.Program, append([]string{"kubectl"}, args...)...)
	cmd.Dir = k.Dir
	cmd.Env = append(os.Environ(), "KUBECONFIG="+k.Kubeconfig)
	var stdout, stderr bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(stdin), &stdout, &stderr
	if err := cmd.Run(); err != nil {
		if ctx.Err() != nil {
			err = ctx.Err()
		}
		return stdout.String(), fmt.Errorf("kubectl %s: %w\n%s", strings.Join(args, " "), err, strings.TrimSpace(stderr.String()))
	}
	return stdout.String(), nil
}

// Get reads one object, or a list with a selector among args, into object.
func (k Kubectl) Get(ctx context.Context, object any, args ...string) error {
	out, err := k.Run(ctx, append(append([]string{"get"}, args...), "-o", "json")...)
	if err != nil {
		return err
	}
	if err := json.Unmarshal([]byte(out), object); err != nil {
		return fmt.Errorf("kubectl get %s: reading the answer: %w", strings.Join(args, " "), err)
	}
	return nil
}

// KubectlFor runs kubectl against a test cluster, from the root of the repository.
func KubectlFor(ctx context.Context, c *cluster.Cluster, root string) (Kubectl, error) {
	program, err := binary.Kube(ctx, root, progress.New(os.Stderr)) // built already: the cluster runs on it
	if err != nil {
		return Kubectl{}, err
	}
	return Kubectl{Program: program, Kubeconfig: c.Kubeconfig(), Dir: root}, nil
}

// LoadImages builds every image of this checkout and puts it on the cluster's node.
func LoadImages(ctx context.Context, c *cluster.Cluster, w io.Writer) error {
	return progress.New(w).Step("build and load images", func(func(string)) error {
		all, err := images.All(ctx)
		if err != nil {
			return err
		}
		return c.LoadImages(ctx, all...)
	})
}
