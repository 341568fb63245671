package operator

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/pillion-mesh/pillion/api/v1alpha1"
)

// ruled are objects that break one rule of the CRD each; which, the API server says.
var ruled = map[string]func(*v1alpha1.Injector){
	"long name":          func(i *v1alpha1.Injector) { i.Name = strings.Repeat("x", 64) },
	"default that isn't": func(i *v1alpha1.Injector) { i.Spec.Revision, i.Spec.IsDefault = "default", new(false) },
	"OptOut elsewhere":   func(i *v1alpha1.Injector) { i.Spec.Policy = v1alpha1.PolicyOptOut },
	"degrade in Field": func(i *v1alpha1.Injector) {
		i.Spec.Webhook.Mode, i.Spec.Degrade.Mode = v1alpha1.WebhookField, v1alpha1.DegradeIgnore
	},
	"tag is the revision": func(i *v1alpha1.Injector) { i.Spec.Tags = []string{"bad"} },
	"tag default":         func(i *v1alpha1.Injector) { i.Spec.Tags = []string{"default"} },
	"always everything":   func(i *v1alpha1.Injector) { i.Spec.AlwaysInject = make([]metav1.LabelSelector, 1) },
	"never anything":      func(i *v1alpha1.Injector) { i.Spec.NeverInject = make([]metav1.LabelSelector, 1) },
	"no text":             func(i *v1alpha1.Injector) { i.Spec.Templates = []v1alpha1.Template{{Name: "a"}} },
	"two texts": func(i *v1alpha1.Injector) {
		i.Spec.Templates = []v1alpha1.Template{{Name: "a", Inline: "x", ConfigMapRef: &v1alpha1.ConfigMapKey{Name: "a", Key: "a"}}}
	},
	"long texts": func(i *v1alpha1.Injector) {
		for _, name := range strings.Split("abcde", "") {
			i.Spec.Templates = append(i.Spec.Templates, v1alpha1.Template{Name: name, Inline: strings.Repeat("#", 60<<10)})
		}
	},
	"service and url": func(i *v1alpha1.Injector) {
		i.Spec.Webhook.URL, i.Spec.Webhook.Service = "https://a", &v1alpha1.WebhookService{Name: "a", Namespace: "a"}
	},
	"late to degrade":        func(i *v1alpha1.Injector) { i.Spec.Degrade.After.Duration = 2 * time.Hour },
	"late to restore":        func(i *v1alpha1.Injector) { i.Spec.Degrade.RestoreAfter.Duration = 2 * time.Hour },
	"own CA, others' bundle": func(i *v1alpha1.Injector) { i.Spec.Certificates.CABundle = v1alpha1.BundleExternal },
	"short CA": func(i *v1alpha1.Injector) {
		i.Spec.Certificates.SelfManaged.CADuration.Duration = 24*time.Hour - time.Second
	},
	"short leaf":     func(i *v1alpha1.Injector) { i.Spec.Certificates.SelfManaged.LeafDuration.Duration = time.Minute },
	"leaf beside CA": func(i *v1alpha1.Injector) { i.Spec.Certificates.SelfManaged.CADuration.Duration = 95 * time.Hour },
	"short order":    func(i *v1alpha1.Injector) { i.Spec.Certificates.CertManager.Duration.Duration = time.Minute },
}

// TestEveryRuleOfTheCRDSpeaks: each CEL rule refuses an object, in its own words.
func TestEveryRuleOfTheCRDSpeaks(t *testing.T) {
	e := newEnv(t)
	said := map[string]string{}
	for name, change := range ruled {
		inj := &v1alpha1.Injector{ObjectMeta: metav1.ObjectMeta{Name: "bad"}}
		inj.Spec.Revision = "bad"
		change(inj)
		err := e.Client.Create(e.Ctx(), inj, client.DryRunAll)
		if err == nil {
			t.Errorf("%s: the API server takes it", name)
			continue
		}
		said[name] = err.Error()
	}
	inj := e.Injector(canaryName)
	inj.Spec.Revision = "other"
	if err := e.Client.Update(e.Ctx(), inj); err != nil {
		said["another revision"] = err.Error()
	}
	for _, message := range ruleMessages(t) {
		if !slices.ContainsFunc(values(said), func(text string) bool { return strings.Contains(text, message) }) {
			t.Errorf("no object here is refused with %q: add one that breaks that rule", message)
		}
	}
}

// TestWhatIsNoDurationIsRefused: an informer can't read such an Injector, and then reads none.
func TestWhatIsNoDurationIsRefused(t *testing.T) {
	e := newEnv(t)
	for _, path := range []string{"degrade.after", "degrade.restoreAfter", "certificates.selfManaged.caDuration", "certificates.selfManaged.leafDuration", "certificates.certManager.duration"} {
		for _, value := range []string{"soon", "1d", "-5h", "9999999999999999h", ""} {
			inj := &unstructured.Unstructured{}
			inj.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind("Injector"))
			inj.SetName("bad")
			must(t, unstructured.SetNestedField(inj.Object, "bad", "spec", "revision"))
			must(t, unstructured.SetNestedField(inj.Object, value, append([]string{"spec"}, strings.Split(path, ".")...)...))
			if err := e.Client.Create(e.Ctx(), inj, client.DryRunAll); !apierrors.IsInvalid(err) {
				t.Errorf("%s: %q: %v", path, value, err)
			}
		}
	}
}

func values(m map[string]string) []string {
	var all []string
	for _, v := range m {
		all = append(all, v)
	}
	return all
}

// ruleMessages are those of all CEL rules in the CRD that are ours.
func ruleMessages(t *testing.T) []string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(configDir, "crd", "pillion.dev_injectors.yaml"))
	must(t, err)
	var crd apiextensionsv1.CustomResourceDefinition
	must(t, yaml.UnmarshalStrict(text, &crd))
	var messages []string
	collect(crd.Spec.Versions[0].Schema.OpenAPIV3Schema, &messages)
	return messages
}

func collect(schema *apiextensionsv1.JSONSchemaProps, messages *[]string) {
	for _, rule := range schema.XValidations {
		*messages = append(*messages, rule.Message)
	}
	for name := range schema.Properties {
		property := schema.Properties[name]
		collect(&property, messages)
	}
	if schema.Items != nil && schema.Items.Schema != nil {
		collect(schema.Items.Schema, messages)
	}
	if schema.AdditionalProperties != nil && schema.AdditionalProperties.Schema != nil {
		collect(schema.AdditionalProperties.Schema, messages)
	}
}
