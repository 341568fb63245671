package admission

import (
	"context"
	"fmt"
	"sync"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/version"
	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/cache"
)

// nativeMajor and nativeMinor are the first kubelet whose native sidecars are complete: they can't be switched off any more.
const nativeMajor, nativeMinor = 1, 33

// Nodes knows which nodes can run native sidecars.
type Nodes struct {
	mu    sync.RWMutex
	nodes map[string]bool // nodes that count
	old   int             // how many of them can't
}

// NewNodes returns an empty Nodes; Watch fills it.
func NewNodes() *Nodes { return &Nodes{nodes: map[string]bool{}} }

// Native says whether that node, or for "" every node, can run native sidecars. Where nothing is known the answer is
// no: the classic form works everywhere.
func (n *Nodes) Native(name string) bool {
	n.mu.RLock()
	defer n.mu.RUnlock()
	if name != "" {
		return n.nodes[name]
	}
	return len(n.nodes) > 0 && n.old == 0
}

// Trim is the informer's transform: a node is big, and three of its fields matter.
func Trim(object any) (any, error) {
	node, ok := object.(*corev1.Node)
	if !ok {
		return object, nil
	}
	return &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: node.Name, UID: node.UID, ResourceVersion: node.ResourceVersion, Labels: node.Labels},
		Status:     corev1.NodeStatus{NodeInfo: corev1.NodeSystemInfo{KubeletVersion: node.Status.NodeInfo.KubeletVersion}},
	}, nil
}

// Watch follows the node informer, which the cache starts and stops.
func (n *Nodes) Watch(ctx context.Context, informers cache.Informers) error {
	informer, err := informers.GetInformer(ctx, &corev1.Node{}, cache.BlockUntilSynced(false))
	if err != nil {
		return fmt.Errorf("watching nodes: %w", err)
	}
	_, err = informer.AddEventHandler(toolscache.ResourceEventHandlerFuncs{
		AddFunc:    func(o any) { n.set(o) },
		UpdateFunc: func(_, o any) { n.set(o) },
		DeleteFunc: func(o any) { n.remove(o) },
	})
	if err != nil {
		return fmt.Errorf("watching nodes: %w", err)
	}
	return nil
}

func (n *Nodes) set(object any) {
	node, ok := object.(*corev1.Node)
	if !ok {
		return
	}
	if node.Labels["type"] == "virtual-kubelet" { // runs pods its own way, whatever version it reports
		n.drop(node.Name)
		return
	}
	native := supportsNative(node.Status.NodeInfo.KubeletVersion)
	n.mu.Lock()
	defer n.mu.Unlock()
	n.nodes[node.Name] = native
	n.count()
}

func (n *Nodes) remove(object any) {
	if gone, ok := object.(toolscache.DeletedFinalStateUnknown); ok {
		object = gone.Obj
	}
	if node, ok := object.(*corev1.Node); ok {
		n.drop(node.Name)
	}
}

func (n *Nodes) drop(name string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.nodes, name)
	n.count()
}

func (n *Nodes) count() {
	n.old = 0
	for _, native := range n.nodes {
		if !native {
			n.old++
		}
	}
}

func supportsNative(kubelet string) bool {
	v, err := version.ParseGeneric(kubelet)
	return err == nil && (v.Major() > nativeMajor || v.Major() == nativeMajor && v.Minor() >= nativeMinor)
}
