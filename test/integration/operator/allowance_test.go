package operator

import (
	"slices"
	"strings"
	"sync"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

// heard are the warnings the API server sent with its answers.
type heard struct {
	mu    sync.Mutex
	texts []string
}

func (h *heard) HandleWarningHeader(_ int, _, text string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.texts = append(h.texts, text)
}

// What a namespace doesn't allow its pods is refused after us, in words that don't name the sidecar. The warning does,
// and says what to set.
func TestRefusalForTheSidecarsSizeSaysSo(t *testing.T) {
	e := newEnv(t)
	e.Injector()
	e.Ready(e.Start("a"))
	e.Serving("default")
	for _, test := range []struct {
		name   string
		make   func(kubernetes.Interface, string) error
		refuse string // the API server's
		warn   string // ours
	}{
		{"LimitRange", func(c kubernetes.Interface, namespace string) error {
			r := &corev1.LimitRange{ObjectMeta: metav1.ObjectMeta{Name: "limits"}}
			r.Spec.Limits = []corev1.LimitRangeItem{{Type: corev1.LimitTypeContainer, Max: corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("256Mi")},
				Default: corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("128Mi")}}}
			_, err := c.CoreV1().LimitRanges(namespace).Create(t.Context(), r, metav1.CreateOptions{})
			return err
		}, "maximum memory usage per Container is 256Mi", "set sidecar.istio.io/proxyMemoryLimit: istio-proxy's limits.memory 512Mi > max 256Mi of LimitRange limits"},
		{"ResourceQuota", func(c kubernetes.Interface, namespace string) error {
			hard := corev1.ResourceList{corev1.ResourceRequestsMemory: resource.MustParse("32Mi")}
			q := &corev1.ResourceQuota{ObjectMeta: metav1.ObjectMeta{Name: "small"}, Spec: corev1.ResourceQuotaSpec{Hard: hard}}
			made, err := c.CoreV1().ResourceQuotas(namespace).Create(t.Context(), q, metav1.CreateOptions{})
			if err != nil {
				return err
			}
			made.Status = corev1.ResourceQuotaStatus{Hard: hard, Used: corev1.ResourceList{corev1.ResourceRequestsMemory: resource.MustParse("0")}}
			_, err = c.CoreV1().ResourceQuotas(namespace).UpdateStatus(t.Context(), made, metav1.UpdateOptions{})
			return err
		}, "exceeded quota: small", "set sidecar.istio.io/proxyMemory: requests.memory 72Mi, 64Mi of it the sidecar's > 32Mi left of ResourceQuota small"},
	} {
		t.Run(test.name, func(t *testing.T) {
			h := &heard{}
			config := rest.CopyConfig(e.Cluster.Config)
			config.WarningHandler = h
			c, err := kubernetes.NewForConfig(config)
			must(t, err)
			namespace := e.Meshed()
			must(t, test.make(c, namespace))
			e.Eventually("the pod is refused and the reason said", func() error {
				p := pod(namespace)
				p.Spec.Containers[0].Resources.Requests = corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("8Mi")}
				_, err := c.CoreV1().Pods(namespace).Create(t.Context(), p, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
				if err == nil || !strings.Contains(err.Error(), test.refuse) {
					return errorf("the API server says %v, want %q", err, test.refuse)
				}
				h.mu.Lock()
				defer h.mu.Unlock()
				if !slices.Contains(h.texts, test.warn) {
					return errorf("warnings %q, want %q", h.texts, test.warn)
				}
				return nil
			})
		})
	}
}
