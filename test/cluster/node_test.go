package main_test

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	admissionv1 "k8s.io/api/admission/v1"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/pillion-mesh/pillion/test/cluster/progress"
	"github.com/pillion-mesh/pillion/test/cluster/testenv"
)

// TestNode walks what tests and the demo rely on: pods run, DNS resolves, a service answers, logs and exec work, a
// program runs in a pod's network, the API server reaches a webhook in this process.
func TestNode(t *testing.T) {
	c := testenv.Start(t, testenv.Options{Node: true, Name: "selftest"})
	c.LoadApp(t)
	c.LoadApp(t) // the second time there's nothing to import
	namespace := c.Namespace(t)
	server := createServer(t, c, namespace)

	t.Run("a pod calls a service by name", func(t *testing.T) {
		answer := callFromPod(t, c, namespace, "http://server."+namespace+".svc.cluster.local/long", "http://server/short")
		for _, want := range []string{`"path":"/long"`, `"path":"/short"`, `"pod":"server"`} {
			if !strings.Contains(answer, want) {
				t.Errorf("answers %q lack %s", answer, want)
			}
		}
	})
	t.Run("exec and logs", func(t *testing.T) {
		out, err := c.Kubectl(t, "", "exec", "-n", namespace, "server", "--", "/usr/local/bin/app", "get", "http://127.0.0.1:8080/exec")
		if err != nil || !strings.Contains(out, `"path":"/exec"`) {
			t.Errorf("exec answers %q, %v", out, err)
		}
		out, err = c.Kubectl(t, "", "logs", "-n", namespace, "server")
		if err != nil || !strings.Contains(out, `"serving"`) {
			t.Errorf("logs are %q, %v", out, err)
		}
	})
	t.Run("a program in the pod's network", func(t *testing.T) {
		if out := c.InPod(t, server, "ip", "-4", "-o", "addr", "show", "dev", "eth0"); !strings.Contains(out, server.Status.PodIP+"/") {
			t.Errorf("the pod has %s, ip says %q", server.Status.PodIP, out)
		}
	})
	t.Run("a webhook in this process", func(t *testing.T) { checkWebhook(t, c, namespace) })
	t.Run("a power cut", func(t *testing.T) { checkReboot(t, c, namespace) }) // the last one: connections to the API server end
}

// checkReboot: what was on the API server is there again, and what ran runs again.
func checkReboot(t *testing.T, c *testenv.Cluster, namespace string) {
	pod := appPod("survivor", "serve")
	pod.Spec.RestartPolicy = corev1.RestartPolicyAlways
	create(t, c, namespace, pod)
	before := c.WaitPod(t, namespace, "survivor", time.Minute, testenv.Ready)
	if err := c.Reboot(t.Context(), progress.New(os.Stderr)); err != nil {
		t.Fatal(err)
	}
	after := c.WaitPod(t, namespace, "survivor", 2*time.Minute, func(pod *corev1.Pod) bool {
		return testenv.Ready(pod) && len(pod.Status.ContainerStatuses) == 1 && pod.Status.ContainerStatuses[0].RestartCount > 0
	})
	if after.UID != before.UID {
		t.Errorf("the pod is another one: UID %s, before %s", after.UID, before.UID)
	}
}

func createServer(t *testing.T, c *testenv.Cluster, namespace string) *corev1.Pod {
	t.Helper()
	create(t, c, namespace, appPod("server", "serve"))
	service := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: "server"}, Spec: corev1.ServiceSpec{
		Selector: map[string]string{"app": "server"},
		Ports:    []corev1.ServicePort{{Name: "http", Port: 80, TargetPort: intstr.FromInt32(8080)}},
	}}
	if _, err := c.Client.CoreV1().Services(namespace).Create(t.Context(), service, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	pod := c.WaitPod(t, namespace, "server", time.Minute, testenv.Ready)
	waitService(t, c, namespace, "server")
	return pod
}

// waitService waits until kube-proxy has heard of the endpoint: until then the service refuses connections.
func waitService(t *testing.T, c *testenv.Cluster, namespace, name string) {
	t.Helper()
	service, err := c.Client.CoreV1().Services(namespace).Get(t.Context(), name, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	connect := fmt.Sprintf("exec 3<>/dev/tcp/%s/%d", service.Spec.ClusterIP, service.Spec.Ports[0].Port)
	end := time.Now().Add(30 * time.Second)
	for c.Command(t.Context(), "bash", "-c", connect).Run() != nil {
		if time.Now().After(end) {
			t.Fatalf("service %s doesn't answer on the node after 30 s", name)
		}
		time.Sleep(100 * time.Millisecond)
	}
}

func appPod(name string, args ...string) *corev1.Pod {
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"app": name}}}
	container := corev1.Container{Name: "app", Image: "localhost/app:1", Args: args}
	if args[0] == "serve" {
		container.ReadinessProbe = &corev1.Probe{PeriodSeconds: 1, ProbeHandler: corev1.ProbeHandler{
			HTTPGet: &corev1.HTTPGetAction{Path: "/ready", Port: intstr.FromInt32(8080)},
		}}
	}
	pod.Spec = corev1.PodSpec{RestartPolicy: corev1.RestartPolicyNever, Containers: []corev1.Container{container}}
	return pod
}

func create(t *testing.T, c *testenv.Cluster, namespace string, pod *corev1.Pod) {
	t.Helper()
	if _, err := c.Client.CoreV1().Pods(namespace).Create(t.Context(), pod, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
}

// callFromPod runs a pod that gets the URLs and returns what it printed.
func callFromPod(t *testing.T, c *testenv.Cluster, namespace string, urls ...string) string {
	t.Helper()
	create(t, c, namespace, appPod("client", append([]string{"get"}, urls...)...))
	pod := c.WaitPod(t, namespace, "client", time.Minute, testenv.Finished)
	out, err := c.Kubectl(t, "", "logs", "-n", namespace, "client")
	if err != nil {
		t.Fatal(err)
	}
	if pod.Status.Phase != corev1.PodSucceeded {
		t.Fatalf("the client failed: %s", out)
	}
	return out
}

// checkWebhook has the API server ask this process before a ConfigMap is made, and refuses it.
func checkWebhook(t *testing.T, c *testenv.Cluster, namespace string) {
	l := c.Listen(t)
	serve := &http.Server{Handler: http.HandlerFunc(refuse), ReadHeaderTimeout: time.Second}
	go func() { _ = serve.Serve(tls.NewListener(l, l.TLS)) }()
	t.Cleanup(func() { _ = serve.Close() })
	url, none := "https://"+l.Host+"/", admissionregistrationv1.SideEffectClassNone
	hooks := c.Client.AdmissionregistrationV1().ValidatingWebhookConfigurations()
	made, err := hooks.Create(t.Context(), &admissionregistrationv1.ValidatingWebhookConfiguration{
		ObjectMeta: metav1.ObjectMeta{GenerateName: "test-cluster-"},
		Webhooks: []admissionregistrationv1.ValidatingWebhook{{
			Name: "refuse.test.pillion.dev", SideEffects: &none, AdmissionReviewVersions: []string{"v1"},
			ClientConfig:      admissionregistrationv1.WebhookClientConfig{URL: &url, CABundle: l.CA},
			NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"kubernetes.io/metadata.name": namespace}},
			Rules: []admissionregistrationv1.RuleWithOperations{{
				Operations: []admissionregistrationv1.OperationType{admissionregistrationv1.Create},
				Rule:       admissionregistrationv1.Rule{APIGroups: []string{""}, APIVersions: []string{"v1"}, Resources: []string{"configmaps"}},
			}},
		}},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := hooks.Delete(context.Background(), made.Name, metav1.DeleteOptions{}); err != nil {
			t.Error(err)
		}
	})
	waitRefused(t, c, namespace)
}

// waitRefused: the API server takes note of a new configuration after a moment.
func waitRefused(t *testing.T, c *testenv.Cluster, namespace string) {
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for {
		_, err := c.Client.CoreV1().ConfigMaps(namespace).Create(ctx, &corev1.ConfigMap{
			ObjectMeta: metav1.ObjectMeta{GenerateName: "try-"}}, metav1.CreateOptions{})
		if err != nil && strings.Contains(err.Error(), "refused by the test") {
			return
		}
		if ctx.Err() != nil {
			t.Fatalf("the webhook in this process wasn't asked; last answer: %v", err)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

func refuse(w http.ResponseWriter, r *http.Request) {
	var review admissionv1.AdmissionReview
	if err := json.NewDecoder(r.Body).Decode(&review); err != nil || review.Request == nil {
		http.Error(w, "want an AdmissionReview", http.StatusBadRequest)
		return
	}
	review.Response = &admissionv1.AdmissionResponse{UID: review.Request.UID, Result: &metav1.Status{Message: "refused by the test"}}
	_ = json.NewEncoder(w).Encode(review)
}

// TestListenLeavesTheNode: whoever opens many listeners doesn't stay in the node's network namespace with any thread.
func TestListenLeavesTheNode(t *testing.T) {
	c := testenv.Start(t, testenv.Options{Node: true, Name: "selftest"})
	for range 50 {
		c.Listen(t)
	}
	own, err := os.Readlink("/proc/self/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	threads, err := filepath.Glob("/proc/self/task/*/ns/net")
	if err != nil || len(threads) == 0 {
		t.Fatalf("no threads found: %v", err)
	}
	for _, thread := range append(threads, "/proc/thread-self/ns/net") {
		if namespace, err := os.Readlink(thread); err == nil && namespace != own {
			t.Errorf("%s is in %s, not %s", thread, namespace, own)
		}
	}
}
