package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/pillion-mesh/pillion/internal/inject"
	"github.com/pillion-mesh/pillion/internal/istio"
)

// APIVersion of what the commands print as JSON or YAML.
const APIVersion = "cli.pillion.dev/v1"

// InjectionCheck answers why a pod gets, or doesn't get, a sidecar.
type InjectionCheck struct {
	APIVersion string          `json:"apiVersion"`
	Kind       string          `json:"kind"`
	Object     string          `json:"object"` // kind namespace/name
	Webhooks   []WebhookRow    `json:"webhooks"`
	Injected   bool            `json:"injected"`
	Decision   inject.Decision `json:"decision"`
	Verdict    string          `json:"verdict"`          // one sentence
	Actual     string          `json:"actual,omitempty"` // what the running pod has, where that differs
	Notes      []string        `json:"notes,omitempty"`
}

// WebhookRow is one webhook entry of some injector's, ours or not.
type WebhookRow struct {
	Webhook  string `json:"webhook"` // configuration/entry
	Revision string `json:"revision"`
	Matches  bool   `json:"matches"`
	Reason   string `json:"reason"`
}

// CheckInject asks a cluster's webhooks and inject.Decide about every pod, or pod template, in objects.
func CheckInject(ctx context.Context, c client.Reader, op inject.Operator, namespace string, objects ...*unstructured.Unstructured) ([]InjectionCheck, error) {
	cluster, err := readInjection(ctx, c)
	if err != nil {
		return nil, err
	}
	set, err := cluster.set(ctx, c, op)
	if err != nil {
		return nil, err
	}
	var checks []InjectionCheck
	for _, object := range objects {
		check, err := checkOne(ctx, c, cluster, set, namespace, object)
		if err != nil {
			return nil, err
		}
		if check != nil {
			checks = append(checks, *check)
		}
	}
	return checks, nil
}

func checkOne(ctx context.Context, c client.Reader, in *injection, set *inject.Set, namespace string, object *unstructured.Unstructured) (*InjectionCheck, error) {
	if object.GetNamespace() != "" {
		namespace = object.GetNamespace()
	}
	ns, err := readNamespace(ctx, c, namespace)
	if err != nil {
		return nil, err
	}
	document, err := json.Marshal(object)
	if err != nil {
		return nil, fmt.Errorf("encoding %s %s: %w", object.GetKind(), object.GetName(), err)
	}
	workload, err := decide(ctx, set, ns, document)
	if err != nil || workload == nil {
		return nil, err
	}
	check := &InjectionCheck{
		APIVersion: APIVersion, Kind: "InjectionCheck",
		Object:   fmt.Sprintf("%s %s/%s", strings.ToLower(object.GetKind()), namespace, object.GetName()),
		Webhooks: rows(in.configurations, ns, podLabels(object)),
		Decision: workload.Decision,
		Notes:    in.notes,
	}
	check.conclude()
	check.Actual = actual(object, check.Injected)
	return check, nil
}

// decide returns what becomes of a document's pod; nil if it has none.
func decide(ctx context.Context, set *inject.Set, ns inject.Namespace, document []byte) (*inject.Workload, error) {
	documents, err := set.Workloads(ctx, document, inject.WorkloadOptions{Namespace: ns})
	if err != nil {
		return nil, err
	}
	for _, d := range documents {
		for _, w := range d.Workloads {
			if w.IsWorkload {
				return &w, nil
			}
		}
	}
	return nil, nil
}

// conclude joins what Decide says with what the API server would really call: a decision to inject is worth nothing
// while no webhook entry of ours on the API server matches.
func (c *InjectionCheck) conclude() {
	called := slices.ContainsFunc(c.Webhooks, func(r WebhookRow) bool { return r.Matches && ours(r.Webhook) })
	switch {
	case c.Decision.Outcome == inject.OutcomeInject && !called:
		c.Verdict = "not injected: the Injector would, but no webhook configuration of ours on the API server matches; is the operator running? (kubectl get injectors; kubectl get pods -n pillion-system)"
	case c.Decision.Outcome == inject.OutcomeInject:
		c.Injected = true
		c.Verdict = fmt.Sprintf("injected by Injector %s: %s", c.Decision.Injector, c.Decision.Message())
	case c.Decision.Outcome == inject.OutcomeDeny:
		c.Verdict = "denied: " + c.Decision.Message()
	default:
		c.Verdict = "not injected: " + c.Decision.Message()
	}
}

// rows are all entries that see pods being created.
func rows(configurations []admissionregistrationv1.MutatingWebhookConfiguration, ns inject.Namespace, pod map[string]string) []WebhookRow {
	var all []WebhookRow
	for i := range configurations {
		configuration := &configurations[i]
		for j := range configuration.Webhooks {
			entry := &configuration.Webhooks[j]
			if !seesPods(entry) {
				continue
			}
			matches, reason := explainEntry(entry, ns, pod)
			all = append(all, WebhookRow{
				Webhook: configuration.Name + "/" + entry.Name, Revision: revision(configuration.Labels), Matches: matches, Reason: reason,
			})
		}
	}
	return all
}

func seesPods(w *admissionregistrationv1.MutatingWebhook) bool {
	for _, rule := range w.Rules {
		creates := slices.Contains(rule.Operations, admissionregistrationv1.Create) || slices.Contains(rule.Operations, admissionregistrationv1.OperationAll)
		if creates && (slices.Contains(rule.Resources, "pods") || slices.Contains(rule.Resources, "*") || slices.Contains(rule.Resources, "*/*")) {
			return true
		}
	}
	return false
}

func revision(labels map[string]string) string {
	for _, key := range []string{istio.LabelTag, istio.LabelRevision} {
		if value := labels[key]; value != "" {
			return value
		}
	}
	return "-"
}

func ours(webhook string) bool { return strings.HasSuffix(webhook, ".injector.pillion.dev") }

// podLabels of a pod, or of a workload's pod template.
func podLabels(object *unstructured.Unstructured) map[string]string {
	path := []string{"spec", "template", "metadata", "labels"}
	switch object.GetKind() {
	case "Pod":
		return object.GetLabels()
	case "PodTemplate":
		path = path[1:]
	case "CronJob":
		path = append([]string{"spec", "jobTemplate"}, path...)
	}
	labels, _, _ := unstructured.NestedStringMap(object.Object, path...)
	return labels
}

// actual compares a pod that exists with what a new one would get.
func actual(object *unstructured.Unstructured, injected bool) string {
	if object.GetKind() != "Pod" || object.GetUID() == "" {
		return ""
	}
	_, has := object.GetAnnotations()[istio.AnnotationStatus]
	created := object.GetCreationTimestamp().UTC().Format("2006-01-02 15:04:05 MST")
	switch {
	case injected && !has:
		return fmt.Sprintf("this pod has no sidecar: it was created at %s, before that was so; recreate it", created)
	case !injected && has:
		return fmt.Sprintf("this pod has a sidecar: it was created at %s, when that was so; recreate it to be rid of it", created)
	}
	return ""
}

// Write prints the check as people read it.
func (c *InjectionCheck) Write(w io.Writer) error {
	fmt.Fprintf(w, "%s\n\n", c.Object)
	var table [][]string
	for _, r := range c.Webhooks {
		table = append(table, []string{r.Webhook, r.Revision, mark(r.Matches), r.Reason})
	}
	if err := writeTable(w, []string{"WEBHOOK", "REVISION", "INJECTED", "REASON"}, table); err != nil {
		return err
	}
	fmt.Fprintf(w, "\n%s", c.Decision.Explain())
	if c.Injected != (c.Decision.Outcome == inject.OutcomeInject) {
		fmt.Fprintf(w, "%s %s\n", mark(c.Injected), c.Verdict)
	}
	for _, line := range append(slices.Clone(c.Notes), c.Actual) {
		if line != "" {
			fmt.Fprintf(w, "note: %s\n", line)
		}
	}
	return nil
}

func mark(yes bool) string {
	if yes {
		return "✔"
	}
	return "✘"
}
