package admission

import (
	"context"
	"errors"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
)

func node(name, kubelet string, labels ...string) *corev1.Node {
	n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{}}}
	n.Status.NodeInfo.KubeletVersion = kubelet
	for i := 0; i < len(labels); i += 2 {
		n.Labels[labels[i]] = labels[i+1]
	}
	return n
}

func TestNative(t *testing.T) {
	for _, c := range []struct {
		name  string
		nodes []*corev1.Node
		ask   string
		want  bool
	}{
		{"nothing known", nil, "", false},
		{"all new enough", []*corev1.Node{node("a", "v1.33.0"), node("b", "v1.36.3")}, "", true},
		{"one too old", []*corev1.Node{node("a", "v1.32.9"), node("b", "v1.36.3")}, "", false},
		{"the pod's own is new", []*corev1.Node{node("a", "v1.32.9"), node("b", "v1.36.3")}, "b", true},
		{"the pod's own is old", []*corev1.Node{node("a", "v1.32.9"), node("b", "v1.36.3")}, "a", false},
		{"the pod's own is unknown", []*corev1.Node{node("a", "v1.36.3")}, "z", false},
		{"vendors' versions", []*corev1.Node{node("a", "v1.33.1-eks-1a2b3c"), node("b", "v1.34.0+k3s1"), node("c", "v2.0.0")}, "", true},
		{"no version", []*corev1.Node{node("a", "")}, "", false},
		{"virtual kubelets don't count", []*corev1.Node{node("a", "v1.36.0"), node("v", "v1.20.0", "type", "virtual-kubelet")}, "", true},
		{"nothing but a virtual kubelet", []*corev1.Node{node("v", "v1.36.0", "type", "virtual-kubelet")}, "", false},
	} {
		n := NewNodes()
		for _, each := range c.nodes {
			n.set(each)
		}
		if got := n.Native(c.ask); got != c.want {
			t.Errorf("%s: %t", c.name, got)
		}
	}
}

func TestNativeFollowsNodes(t *testing.T) {
	n := NewNodes()
	n.set(node("a", "v1.36.0"))
	n.set(node("old", "v1.30.0"))
	if n.Native("") {
		t.Error("native with an old node")
	}
	n.remove(toolscache.DeletedFinalStateUnknown{Key: "old", Obj: node("old", "v1.30.0")})
	if !n.Native("") {
		t.Error("the old node is gone")
	}
	n.set(node("a", "v1.36.0", "type", "virtual-kubelet"))
	if n.Native("") || n.Native("a") {
		t.Error("a node that became virtual still counts")
	}
}

func TestTrimKeepsWhatMatters(t *testing.T) {
	big := node("a", "v1.36.0", "type", "virtual-kubelet")
	big.Status.Images = make([]corev1.ContainerImage, 50)
	trimmed, err := Trim(big)
	if err != nil {
		t.Fatal(err)
	}
	got := trimmed.(*corev1.Node)
	if got.Name != "a" || got.Labels["type"] != "virtual-kubelet" || got.Status.NodeInfo.KubeletVersion != "v1.36.0" || len(got.Status.Images) != 0 {
		t.Errorf("%+v", got)
	}
}

func TestNamespaceTooNewForTheInformer(t *testing.T) {
	live := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "new", Labels: map[string]string{"istio-injection": "enabled"}}}
	n := Namespaces{Cache: fake.NewClientBuilder().Build(), Live: fake.NewClientBuilder().WithObjects(live).Build()}
	got, err := n.Namespace(context.Background(), "new")
	if err != nil || got.Labels["istio-injection"] != "enabled" {
		t.Errorf("%+v, %v", got, err)
	}
	got, err = n.Namespace(context.Background(), "none")
	if err == nil || got.Name != "none" {
		t.Errorf("a namespace that doesn't exist: %+v, %v", got, err)
	}
}

func TestNamespaceIsNotWaitedForLong(t *testing.T) {
	slow := interceptor.Funcs{Get: func(ctx context.Context, _ client.WithWatch, _ client.ObjectKey, _ client.Object, _ ...client.GetOption) error {
		<-ctx.Done()
		return ctx.Err()
	}}
	n := Namespaces{Cache: fake.NewClientBuilder().Build(), Live: fake.NewClientBuilder().WithInterceptorFuncs(slow).Build()}
	if _, err := n.Namespace(context.Background(), "new"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error %v, want a deadline", err)
	}
}
