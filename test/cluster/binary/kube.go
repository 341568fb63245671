package binary

import (
	"context"

	"github.com/pillion-mesh/pillion/test/cluster/progress"
)

// KubeVersion is what the API server calls itself; kube/go.mod requires the sources of the same version.
const KubeVersion = "v1.36.3"

var kube = source{name: "kube", about: 2700, linker: "-s -w -X k8s.io/component-base/version.gitVersion=" + KubeVersion +
	" -X k8s.io/component-base/version.gitMajor=1 -X k8s.io/component-base/version.gitMinor=36"}

// Kube returns the path of the Kubernetes binary.
func Kube(ctx context.Context, root string, p *progress.Printer) (string, error) {
	return kube.build(ctx, root, p, nil)
}
