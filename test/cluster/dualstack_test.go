package main_test

import (
	"os"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/pillion-mesh/pillion/test/cluster/testenv"
)

// TestDualStack: pods have an address of each family, and a service of IPv6 alone is found and answers.
func TestDualStack(t *testing.T) {
	if _, err := os.Stat("/proc/net/if_inet6"); err != nil {
		t.Skipf("skipped: this kernel has no IPv6: %v", err)
	}
	c := testenv.Start(t, testenv.Options{Node: true, DualStack: true, Name: "dual"})
	c.LoadApp(t)
	namespace := c.Namespace(t)
	create(t, c, namespace, appPod("server", "serve"))
	service := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: "six"}, Spec: corev1.ServiceSpec{
		Selector: map[string]string{"app": "server"}, IPFamilies: []corev1.IPFamily{corev1.IPv6Protocol},
		Ports: []corev1.ServicePort{{Name: "http", Port: 80, TargetPort: intstr.FromInt32(8080)}},
	}}
	if _, err := c.Client.CoreV1().Services(namespace).Create(t.Context(), service, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	server := c.WaitPod(t, namespace, "server", time.Minute, testenv.Ready)
	if len(server.Status.PodIPs) != 2 || !strings.HasPrefix(server.Status.PodIPs[1].IP, "fd00:198:18:") {
		t.Fatalf("the pod's addresses are %v", server.Status.PodIPs)
	}
	if answer := callFromPod(t, c, namespace, "http://six/"); !strings.Contains(answer, `"remote":"[fd00:198:18:`) {
		t.Errorf("not called by IPv6: %s", answer)
	}
}
