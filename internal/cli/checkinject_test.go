package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/pillion-mesh/pillion/api/v1alpha1"
	"github.com/pillion-mesh/pillion/internal/inject"
	"github.com/pillion-mesh/pillion/internal/inject/injecttest"
	"github.com/pillion-mesh/pillion/templates"
)

var update = flag.Bool("update", false, "write the golden files")

// golden holds text against a file of testdata.
func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", filepath.FromSlash(name))
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s differs from what is printed (go test -update writes it):\n%s", file, got)
	}
}

func namespace(name string, labels map[string]string) *corev1.Namespace {
	return &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels}}
}

// shop is a cluster with the default Injector, a canary with a tag, Istio's webhook for a revision of its own, a webhook
// that is nobody's, and some namespaces and pods.
func shop(t *testing.T, more ...client.Object) client.WithWatch {
	t.Helper()
	stable := injecttest.Injector("default", "default", func(s *v1alpha1.InjectorSpec) {
		s.ExcludedNamespaces = []string{"monitoring"}
		s.NeverInject = []metav1.LabelSelector{{MatchLabels: map[string]string{"kind": "batch"}}}
	})
	canary := injecttest.Injector("canary", "canary", func(s *v1alpha1.InjectorSpec) { s.Tags = []string{"next"} })
	objects := append([]client.Object{
		&stable, &canary,
		foreign("istio-sidecar-injector", "rev.namespace.sidecar-injector.istio.io", &metav1.LabelSelector{MatchLabels: map[string]string{"mesh": "istio"}}),
		foreign("kyverno", "mutate.kyverno.svc", &metav1.LabelSelector{MatchLabels: map[string]string{"policies": "on"}}),
		namespace("enabled", map[string]string{"istio-injection": "enabled"}), namespace("plain", nil),
		namespace("tagged", map[string]string{"istio.io/rev": "next"}), namespace("monitoring", map[string]string{"istio-injection": "enabled"}),
		namespace("both", map[string]string{"istio-injection": "enabled", "mesh": "istio"}),
		pod("enabled", "pay-1", map[string]string{"app": "pay"}, true), pod("enabled", "pay-2", map[string]string{"app": "pay"}, false),
	}, more...)
	for _, inj := range []v1alpha1.Injector{stable, canary} {
		for _, c := range inject.Webhooks(&inj, inj.Names(), injecttest.Operator(templates.FS), nil) {
			objects = append(objects, &c)
		}
	}
	scheme, err := Scheme()
	if err != nil {
		t.Fatal(err)
	}
	return fake.NewClientBuilder().WithScheme(scheme).WithObjects(objects...).Build()
}

func foreign(name, entry string, namespaces *metav1.LabelSelector) *admissionregistrationv1.MutatingWebhookConfiguration {
	return &admissionregistrationv1.MutatingWebhookConfiguration{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Webhooks: []admissionregistrationv1.MutatingWebhook{{Name: entry, NamespaceSelector: namespaces, Rules: []admissionregistrationv1.RuleWithOperations{{
			Operations: []admissionregistrationv1.OperationType{admissionregistrationv1.Create},
			Rule:       admissionregistrationv1.Rule{APIGroups: []string{""}, APIVersions: []string{"v1"}, Resources: []string{"pods"}},
		}}}},
	}
}

func pod(namespace, name string, labels map[string]string, injected bool) *corev1.Pod {
	p := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, Labels: labels, UID: "u", CreationTimestamp: metav1.NewTime(time.Unix(1e9, 0))},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "app", Image: "app"}}},
	}
	if injected {
		p.Annotations = map[string]string{"sidecar.istio.io/status": "{}", "pillion.dev/injector": "default"}
	}
	return p
}

// checkText is what check-inject prints for objects.
func checkText(t *testing.T, c client.Reader, namespace string, objects ...*unstructured.Unstructured) string {
	t.Helper()
	checks, err := CheckInject(t.Context(), c, injecttest.Operator(templates.FS), namespace, objects...)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	for i := range checks {
		if err := checks[i].Write(&out); err != nil {
			t.Fatal(err)
		}
	}
	return out.String()
}

func TestCheckInjectText(t *testing.T) {
	host := PodWithLabels("enabled", nil)
	if err := unstructured.SetNestedField(host.Object, true, "spec", "hostNetwork"); err != nil {
		t.Fatal(err)
	}
	bad := PodWithLabels("enabled", nil)
	bad.SetAnnotations(map[string]string{"sidecar.istio.io/proxyCPU": "many"})
	for name, object := range map[string]*unstructured.Unstructured{
		"injected":           PodWithLabels("enabled", map[string]string{"app": "pay"}),
		"tag":                PodWithLabels("tagged", nil),
		"not-selected":       PodWithLabels("plain", nil),
		"opted-out":          PodWithLabels("enabled", map[string]string{"sidecar.istio.io/inject": "false"}),
		"excluded-namespace": PodWithLabels("monitoring", nil),
		"never-selector":     PodWithLabels("enabled", map[string]string{"kind": "batch"}),
		"host-network":       host,
		"denied":             bad,
		"two-meshes":         PodWithLabels("both", nil),
	} {
		t.Run(name, func(t *testing.T) { golden(t, "check/"+name+".txt", checkText(t, shop(t), "default", object)) })
	}
}

// TestCheckInjectFields: scripts read them.
func TestCheckInjectFields(t *testing.T) {
	checks, err := CheckInject(t.Context(), shop(t), injecttest.Operator(templates.FS), "plain", PodWithLabels("plain", map[string]string{"sidecar.istio.io/inject": "no"}))
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.MarshalIndent(checks[0], "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "check/fields.json", string(text)+"\n")
}

// TestCheckInjectSaysWhatTheClusterLacks: no webhook though an Injector is there; no Injector; a pod that runs and
// differs.
func TestCheckInjectSaysWhatTheClusterLacks(t *testing.T) {
	c := shop(t)
	if err := c.DeleteAllOf(t.Context(), &admissionregistrationv1.MutatingWebhookConfiguration{}, client.MatchingLabels{inject.LabelInjector: "default"}); err != nil {
		t.Fatal(err)
	}
	golden(t, "check/no-webhook.txt", checkText(t, c, "enabled", PodWithLabels("enabled", nil)))
	if err := c.DeleteAllOf(t.Context(), &v1alpha1.Injector{}); err != nil {
		t.Fatal(err)
	}
	golden(t, "check/no-injector.txt", checkText(t, c, "enabled", PodWithLabels("enabled", nil)))
	running, err := Fetch(t.Context(), shop(t), Target{GroupVersionKind: kinds[0].GroupVersionKind, Namespace: "default", Name: "pay-2.enabled"})
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "check/runs-without.txt", checkText(t, shop(t), "default", running))
}

// TestTemplatesFromConfigMaps: check-inject reads them as the operator does, and says what is missing.
func TestTemplatesFromConfigMaps(t *testing.T) {
	texts := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "pillion-system", Name: "texts"}, Data: map[string]string{"mark": "metadata: {labels: {mark: here}}"}}
	blue := injecttest.Injector("blue", "blue", func(s *v1alpha1.InjectorSpec) {
		s.Templates = []v1alpha1.Template{{Name: "mark", ConfigMapRef: &v1alpha1.ConfigMapKey{Name: "texts", Key: "mark"}}}
		s.DefaultTemplates = []string{"sidecar", "mark"}
	})
	asks := PodWithLabels("plain", map[string]string{"istio.io/rev": "blue"})
	if got := checkText(t, shop(t, texts, blue.DeepCopy()), "plain", asks); !strings.Contains(got, "templates sidecar,mark") {
		t.Errorf("with the ConfigMap:\n%s", got)
	}
	if got := checkText(t, shop(t, blue.DeepCopy()), "plain", asks); !strings.Contains(got, "ConfigMap pillion-system/texts doesn't exist") {
		t.Errorf("without the ConfigMap:\n%s", got)
	}
}

func TestFetchSelected(t *testing.T) {
	c := shop(t)
	for _, row := range []struct{ namespace, selector, want, note string }{
		{"enabled", "app=pay", "pay-1 pay-2", ""},
		{"enabled", "app in (pay, bill)", "pay-1 pay-2", ""},
		{"plain", "app=pay", "new-pod", "no pod in namespace plain has these labels"},
		{"plain", "a=b,c in (d)", "new-pod", "no pod"},
	} {
		pods, note, err := FetchSelected(t.Context(), c, row.namespace, row.selector)
		var names []string
		for _, p := range pods {
			names = append(names, p.GetName())
		}
		if got := strings.Join(names, " "); err != nil || got != row.want || !strings.Contains(note, row.note) || row.note == "" && note != "" {
			t.Errorf("-n %s -l %q: %s, note %q, %v; want %s", row.namespace, row.selector, got, note, err, row.want)
		}
	}
	if got := checkText(t, c, "enabled", must(FetchSelected(t.Context(), c, "enabled", "app=pay"))...); !strings.Contains(got, "pod enabled/pay-1\n") || !strings.Contains(got, "pod enabled/pay-2\n") {
		t.Errorf("two pods:\n%s", got)
	}
	for _, selector := range []string{"!app", "app!=pay,x", "app in (a, b)"} {
		_, _, err := FetchSelected(t.Context(), c, "plain", selector)
		if err == nil || !strings.Contains(err.Error(), "there is none\n  try: another namespace with -n\n       -l key=value alone") {
			t.Errorf("-l %q matches nothing and names no pod: %v", selector, err)
		}
	}
	var usage *UsageError
	if _, _, err := FetchSelected(t.Context(), c, "plain", "=x="); !errors.As(err, &usage) {
		t.Errorf("a selector that isn't one: %v", err)
	}
}

func must(pods []*unstructured.Unstructured, _ string, err error) []*unstructured.Unstructured {
	if err != nil {
		panic(err)
	}
	return pods
}

// TestFailuresHaveThreeParts: what failed, why, what to try.
func TestFailuresHaveThreeParts(t *testing.T) {
	forbidden := apierrors.NewForbidden(corev1.Resource("namespaces"), "shop", errors.New("no"))
	for name, row := range map[string]struct {
		err  error
		want string
	}{
		"forbidden":   {forbidden, "reading namespace enabled: namespaces \"shop\" is forbidden: no\n  try: kubectl auth can-i"},
		"slow":        {context.DeadlineExceeded, "reading namespace enabled: context deadline exceeded\n  try: kubectl version"},
		"logged out":  {apierrors.NewUnauthorized("expired"), "reading namespace enabled: expired\n  try: log in again"},
		"not to help": {errors.New("odd"), "reading namespace enabled: odd"},
	} {
		c := interceptor.NewClient(shop(t), interceptor.Funcs{Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, object client.Object, o ...client.GetOption) error {
			if _, isNamespace := object.(*corev1.Namespace); isNamespace {
				return row.err
			}
			return c.Get(ctx, key, object, o...)
		}})
		_, err := CheckInject(t.Context(), c, injecttest.Operator(templates.FS), "enabled", PodWithLabels("enabled", nil))
		if err == nil || !strings.HasPrefix(err.Error(), row.want) || !errors.Is(err, row.err) {
			t.Errorf("%s: %v; want %s", name, err, row.want)
		}
	}
	_, err := Fetch(t.Context(), shop(t), Target{GroupVersionKind: kinds[0].GroupVersionKind, Namespace: "enabled", Name: "nobody"})
	if err == nil || !strings.Contains(err.Error(), "reading pod enabled/nobody: ") || !strings.Contains(err.Error(), "\n  try: the namespace with -n") {
		t.Errorf("a pod that isn't there: %v", err)
	}
}
