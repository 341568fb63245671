package inject

import (
	"slices"
	"strings"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pillion-mesh/pillion/api/v1alpha1"
	"github.com/pillion-mesh/pillion/internal/istio"
)

// Names of webhook configurations, their entries and their labels.
const (
	ConfigurationPrefix = "pillion-injector-"     // + name
	entrySuffix         = ".injector.pillion.dev" // entry + this
	LabelInjector       = "pillion.dev/injector"  // on configurations: the Injector they were rendered from
)

// Entries of a webhook configuration.
const (
	EntryRevNamespace = "rev.namespace" // the namespace names the revision
	EntryRevObject    = "rev.object"    // the pod names it
	EntryNamespace    = "namespace"     // the namespace is labelled istio-injection=enabled
	EntryObject       = "object"        // the pod asks and names no revision
	EntryAuto         = "auto"          // nobody said anything, and the policy is OptOut
)

// Answers of labels: always both spellings.
var (
	answersOn  = []string{"true", "enabled"}
	answersOff = []string{"false", "disabled"}
)

// systemNamespaces are never injected: what runs there must come up without us.
var systemNamespaces = []string{metav1.NamespaceSystem, metav1.NamespacePublic, "kube-node-lease", "local-path-storage"}

// Webhooks renders one configuration for each name, the same byte for byte for the same input. caBundle must not be
// empty: an entry without one makes every call fail.
func Webhooks(inj *v1alpha1.Injector, names []string, op Operator, caBundle []byte) []admissionregistrationv1.MutatingWebhookConfiguration {
	inj = inj.DeepCopy()
	v1alpha1.SetDefaults(inj)
	sorted := slices.Sorted(slices.Values(names))
	configs := make([]admissionregistrationv1.MutatingWebhookConfiguration, 0, len(sorted))
	for _, name := range sorted {
		configs = append(configs, configuration(inj, name, op, caBundle))
	}
	return configs
}

func configuration(inj *v1alpha1.Injector, name string, op Operator, caBundle []byte) admissionregistrationv1.MutatingWebhookConfiguration {
	labels := map[string]string{
		"app":               "sidecar-injector",
		istio.LabelRevision: inj.Spec.Revision,
		LabelInjector:       inj.Name,
	}
	if name != inj.Spec.Revision {
		labels[istio.LabelTag] = name
	}
	c := admissionregistrationv1.MutatingWebhookConfiguration{
		TypeMeta: metav1.TypeMeta{APIVersion: "admissionregistration.k8s.io/v1", Kind: "MutatingWebhookConfiguration"},
		ObjectMeta: metav1.ObjectMeta{
			Name:   ConfigurationPrefix + name,
			Labels: labels,
			// AKS otherwise adds selectors of its own to every configuration.
			Annotations: map[string]string{"admissions.enforcer/disabled": "true"},
		},
	}
	for _, e := range entries(name, inj.Spec.Policy) {
		c.Webhooks = append(c.Webhooks, webhook(inj, e, op, caBundle))
	}
	return c
}

// entry is one row of the table that decides which pods are sent to us.
type entry struct {
	name       string
	namespaces []metav1.LabelSelectorRequirement
	objects    []metav1.LabelSelectorRequirement
}

// entries are the rows for one name. No two rows, of one name or of different names, match the same labels: each
// excludes what the ones before it take. The truth table in package injecttest enumerates it.
func entries(name string, policy v1alpha1.Policy) []entry {
	rows := []entry{
		{EntryRevNamespace,
			requirements(in(istio.LabelRevision, name), absent(istio.LabelInjection)),
			requirements(notIn(istio.LabelInject, answersOff...))},
		{EntryRevObject,
			requirements(absent(istio.LabelRevision), absent(istio.LabelInjection)),
			requirements(notIn(istio.LabelInject, answersOff...), in(istio.LabelRevision, name))},
	}
	if name != v1alpha1.NameDefault {
		return rows
	}
	rows = append(rows,
		entry{EntryNamespace,
			requirements(in(istio.LabelInjection, "enabled")),
			requirements(notIn(istio.LabelInject, answersOff...))},
		entry{EntryObject,
			requirements(absent(istio.LabelRevision), absent(istio.LabelInjection)),
			requirements(in(istio.LabelInject, answersOn...), absent(istio.LabelRevision))})
	if policy == v1alpha1.PolicyOptOut {
		rows = append(rows, entry{EntryAuto,
			requirements(absent(istio.LabelRevision), absent(istio.LabelInjection)),
			requirements(absent(istio.LabelInject), absent(istio.LabelRevision))})
	}
	return rows
}

func requirements(r ...metav1.LabelSelectorRequirement) []metav1.LabelSelectorRequirement { return r }

func in(key string, values ...string) metav1.LabelSelectorRequirement {
	return metav1.LabelSelectorRequirement{Key: key, Operator: metav1.LabelSelectorOpIn, Values: values}
}

func notIn(key string, values ...string) metav1.LabelSelectorRequirement {
	return metav1.LabelSelectorRequirement{Key: key, Operator: metav1.LabelSelectorOpNotIn, Values: values}
}

func absent(key string) metav1.LabelSelectorRequirement {
	return metav1.LabelSelectorRequirement{Key: key, Operator: metav1.LabelSelectorOpDoesNotExist}
}

func webhook(inj *v1alpha1.Injector, e entry, op Operator, caBundle []byte) admissionregistrationv1.MutatingWebhook {
	path := "/inject/injector/" + inj.Name + "/entry/" + e.name
	w := admissionregistrationv1.MutatingWebhook{
		Name:         e.name + entrySuffix,
		ClientConfig: clientConfig(inj, path, op, caBundle),
		Rules: []admissionregistrationv1.RuleWithOperations{{
			Operations: []admissionregistrationv1.OperationType{admissionregistrationv1.Create},
			Rule: admissionregistrationv1.Rule{
				APIGroups: []string{""}, APIVersions: []string{"v1"}, Resources: []string{"pods"},
				Scope: new(admissionregistrationv1.NamespacedScope),
			},
		}},
		FailurePolicy:           new(admissionregistrationv1.FailurePolicyType(inj.Spec.Webhook.FailurePolicy)),
		MatchPolicy:             new(admissionregistrationv1.Equivalent),
		NamespaceSelector:       &metav1.LabelSelector{MatchExpressions: append(e.namespaces, notIn(corev1.LabelMetadataName, excluded(inj, op)...))},
		ObjectSelector:          &metav1.LabelSelector{MatchExpressions: e.objects},
		SideEffects:             new(admissionregistrationv1.SideEffectClassNoneOnDryRun), // Events, never for a dry run
		TimeoutSeconds:          new(inj.Spec.Webhook.TimeoutSeconds),
		AdmissionReviewVersions: []string{"v1"},
		ReinvocationPolicy:      new(admissionregistrationv1.ReinvocationPolicyType(inj.Spec.Webhook.ReinvocationPolicy)),
	}
	if *inj.Spec.Webhook.MatchConditions {
		w.MatchConditions = matchConditions()
	}
	return w
}

// clientConfig leads to spec.webhook.url, spec.webhook.service or else the operator's own Service. It has no caBundle,
// not even an empty one, if there is none.
func clientConfig(inj *v1alpha1.Injector, path string, op Operator, caBundle []byte) admissionregistrationv1.WebhookClientConfig {
	config := admissionregistrationv1.WebhookClientConfig{CABundle: slices.Clone(caBundle)}
	if base := inj.Spec.Webhook.URL; base != "" {
		config.URL = new(strings.TrimSuffix(base, "/") + path)
		return config
	}
	at := v1alpha1.WebhookService{Name: op.Service, Namespace: op.Namespace, Port: op.ServicePort}
	if other := inj.Spec.Webhook.Service; other != nil {
		at = *other
	}
	config.Service = &admissionregistrationv1.ServiceReference{Name: at.Name, Namespace: at.Namespace, Port: &at.Port, Path: &path}
	return config
}

// excluded are the namespaces no entry matches: recovery of the cluster and of the operator never hangs on us.
func excluded(inj *v1alpha1.Injector, op Operator) []string {
	names := slices.Clone(systemNamespaces)
	for _, name := range append([]string{op.Namespace}, inj.Spec.ExcludedNamespaces...) {
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

// matchConditions keep the API server from calling us for pods that are never injected; Decide says the same again.
func matchConditions() []admissionregistrationv1.MatchCondition {
	return []admissionregistrationv1.MatchCondition{
		{Name: "not-host-network", Expression: "!object.spec.?hostNetwork.orValue(false)"},
		{Name: "not-windows", Expression: "object.spec.?os.name.orValue('linux') != 'windows' && " +
			"object.spec.?nodeSelector[?'kubernetes.io/os'].orValue('linux') != 'windows'"},
		{Name: "not-mirror-pod", Expression: "!object.metadata.?annotations[?'kubernetes.io/config.mirror'].hasValue()"},
	}
}
