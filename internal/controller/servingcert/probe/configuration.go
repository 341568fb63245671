package probe

import (
	"slices"
	"strings"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// entryName is of the configuration's one entry.
const entryName = "probe.pillion.dev"

// component tells the configuration from those of Injectors, and from what somebody else has under its name. It must not
// have their label: they are kept and counted by it.
const (
	labelComponent = "app.kubernetes.io/component"
	component      = "serving-probe"
)

// Target is where API servers find this operator under the probe's name, which is another than that of admission: the
// name decides which leaf they are shown.
type Target struct {
	Service   string // the operator's: the probe's is called Name(Service)
	Namespace string
	Port      int32
	URL       string // base, such as https://localhost:15017, for operators that aren't reached by a Service
}

// Name is the configuration's and the probe's Service's.
func Name(service string) string { return service + "-probe" }

// Configuration renders the webhook configuration, the same for the same input. All that the API server would fill in is
// there, so that it can be compared.
func Configuration(t Target, caBundle []byte) *admissionv1.MutatingWebhookConfiguration {
	return &admissionv1.MutatingWebhookConfiguration{
		TypeMeta: metav1.TypeMeta{APIVersion: "admissionregistration.k8s.io/v1", Kind: "MutatingWebhookConfiguration"},
		ObjectMeta: metav1.ObjectMeta{
			Name:   Name(t.Service),
			Labels: map[string]string{"app.kubernetes.io/name": "pillion", labelComponent: component},
			// AKS otherwise adds selectors of its own to every configuration.
			Annotations: map[string]string{"admissions.enforcer/disabled": "true"},
		},
		Webhooks: []admissionv1.MutatingWebhook{{
			Name:         entryName,
			ClientConfig: t.clientConfig(caBundle),
			Rules: []admissionv1.RuleWithOperations{{
				Operations: []admissionv1.OperationType{admissionv1.Create},
				Rule: admissionv1.Rule{APIGroups: []string{coordinationv1.GroupName}, APIVersions: []string{"v1"},
					Resources: []string{"leases"}, Scope: new(admissionv1.NamespacedScope)},
			}},
			FailurePolicy: new(admissionv1.Fail), // a call that fails is what is looked for
			MatchPolicy:   new(admissionv1.Equivalent),
			NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{
				corev1.LabelMetadataName: t.Namespace}},
			ObjectSelector: &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{
				{Key: Label, Operator: metav1.LabelSelectorOpExists}}},
			SideEffects:             new(admissionv1.SideEffectClassNone),
			TimeoutSeconds:          new(int32(webhookTimeout)),
			AdmissionReviewVersions: []string{"v1"},
			ReinvocationPolicy:      new(admissionv1.NeverReinvocationPolicy),
		}},
	}
}

func (t Target) clientConfig(caBundle []byte) admissionv1.WebhookClientConfig {
	c := admissionv1.WebhookClientConfig{CABundle: slices.Clone(caBundle)}
	if t.URL != "" {
		c.URL = new(strings.TrimSuffix(t.URL, "/") + Path)
		return c
	}
	c.Service = &admissionv1.ServiceReference{Namespace: t.Namespace, Name: Name(t.Service), Port: new(t.Port), Path: new(Path)}
	return c
}
