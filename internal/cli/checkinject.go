package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

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
	Advice     string          `json:"advice,omitempty"` // what to change for a sidecar
	Actual     string          `json:"actual,omitempty"` // what the running pod has, where that differs
	Notes      []string        `json:"notes,omitempty"`
}

// InjectionCheckList is several checks.
type InjectionCheckList struct {
	APIVersion string           `json:"apiVersion"`
	Kind       string           `json:"kind"`
	Items      []InjectionCheck `json:"items"`
}

// CheckInject asks a cluster's webhooks and inject.Decide about every pod, or pod template, in objects.
func CheckInject(ctx context.Context, c client.Reader, op inject.Operator, namespace string, objects ...*unstructured.Unstructured) ([]InjectionCheck, error) {
	k := checker{client: c, namespace: namespace, namespaces: map[string]namespaceRead{}}
	var err error
	if k.cluster, err = readInjection(ctx, c); err != nil {
		return nil, err
	}
	if k.set, err = k.cluster.set(ctx, c, op); err != nil {
		return nil, err
	}
	var checks []InjectionCheck
	for _, object := range objects {
		check, err := k.check(ctx, object)
		if err != nil {
			return nil, err
		}
		if check != nil {
			checks = append(checks, *check)
		}
	}
	return checks, nil
}

// checker is what is known of a cluster while objects are checked.
type checker struct {
	client     client.Reader
	cluster    *injection
	set        *inject.Set
	namespace  string                   // of objects that name none
	namespaces map[string]namespaceRead // those read
}

// namespaceRead is a namespace, and what of it couldn't be read.
type namespaceRead struct {
	inject.Namespace
	notes []string
}

func (k *checker) check(ctx context.Context, object *unstructured.Unstructured) (*InjectionCheck, error) {
	namespace := k.namespace
	if object.GetNamespace() != "" {
		namespace = object.GetNamespace()
	}
	read, err := k.readNamespace(ctx, namespace)
	if err != nil {
		return nil, err
	}
	ns := read.Namespace
	document, err := json.Marshal(object)
	if err != nil {
		return nil, fmt.Errorf("encoding %s %s: %w", object.GetKind(), object.GetName(), err)
	}
	workload, err := decide(ctx, k.set, ns, document)
	if err != nil || workload == nil {
		return nil, err
	}
	check := &InjectionCheck{
		APIVersion: APIVersion, Kind: "InjectionCheck",
		Object:   fmt.Sprintf("%s %s/%s", strings.ToLower(object.GetKind()), namespace, object.GetName()),
		Webhooks: rows(k.cluster.configurations, ns, podLabels(object)),
		Decision: workload.Decision,
		Notes:    slices.Concat(k.cluster.notes, read.notes),
	}
	check.conclude()
	check.noteOthers()
	check.Actual = actual(object, check.Injected)
	return check, nil
}

// readNamespace reads a namespace once; one that doesn't exist has no labels.
func (k *checker) readNamespace(ctx context.Context, name string) (namespaceRead, error) {
	if read, known := k.namespaces[name]; known {
		return read, nil
	}
	ns, notes, err := readNamespace(ctx, k.client, name)
	if err == nil {
		k.namespaces[name] = namespaceRead{ns, notes}
	}
	return namespaceRead{ns, notes}, err
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
	c.Advice = c.Decision.Advice()
	called := slices.ContainsFunc(c.Webhooks, func(r WebhookRow) bool { return r.Matches && ours(r.Webhook) })
	switch {
	case c.Decision.Outcome == inject.OutcomeInject && !called:
		c.Verdict = "not injected: the Injector would, but no webhook configuration of ours on the API server matches"
		c.Advice = "find out why the operator hasn't written them: kubectl get injectors; kubectl get pods -A -l app.kubernetes.io/name=pillion"
	case c.Decision.Outcome == inject.OutcomeInject:
		c.Injected = true
		c.Verdict = fmt.Sprintf("injected by Injector %s: %s", c.Decision.Injector, c.Decision.Message())
	case c.Decision.Outcome == inject.OutcomeDeny:
		c.Verdict = "denied: " + c.Decision.Message()
	default:
		c.Verdict = "not injected: " + c.Decision.Message()
	}
}

// noteOthers tells of other meshes whose injector sees this pod as well: the first one called puts its sidecar in, and
// either both do or ours keeps away.
func (c *InjectionCheck) noteOthers() {
	for _, r := range c.Webhooks {
		if r.Matches && r.Mesh != "" {
			c.Notes = append(c.Notes, fmt.Sprintf("webhook %s of %s sees this pod too (%s); keep one of the two from it", r.Webhook, r.Mesh, r.Reason))
		}
	}
}

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
