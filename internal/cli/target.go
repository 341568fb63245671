package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/selection"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// UsageError is a command line that can't be understood.
type UsageError struct{ Message string }

func (e *UsageError) Error() string { return e.Message }

// kind is one kind of object that has pods, with the words that name it.
type kind struct {
	schema.GroupVersionKind
	words []string
}

var kinds = []kind{
	{schema.GroupVersionKind{Version: "v1", Kind: "Pod"}, []string{"pod", "pods", "po"}},
	{schema.GroupVersionKind{Group: "apps", Version: "v1", Kind: "Deployment"}, []string{"deployment", "deployments", "deploy"}},
	{schema.GroupVersionKind{Group: "apps", Version: "v1", Kind: "StatefulSet"}, []string{"statefulset", "statefulsets", "sts"}},
	{schema.GroupVersionKind{Group: "apps", Version: "v1", Kind: "DaemonSet"}, []string{"daemonset", "daemonsets", "ds"}},
	{schema.GroupVersionKind{Group: "apps", Version: "v1", Kind: "ReplicaSet"}, []string{"replicaset", "replicasets", "rs"}},
	{schema.GroupVersionKind{Group: "batch", Version: "v1", Kind: "Job"}, []string{"job", "jobs"}},
	{schema.GroupVersionKind{Group: "batch", Version: "v1", Kind: "CronJob"}, []string{"cronjob", "cronjobs", "cj"}},
}

// Target names one object: a kind of object with pods, its namespace and its name.
type Target struct {
	schema.GroupVersionKind
	Namespace, Name string
}

// ParseTarget reads POD, TYPE/NAME and both with .NAMESPACE behind; namespace is the one of the command line. Names may
// hold dots themselves, so the cluster decides (Fetch).
func ParseTarget(argument, namespace string) (Target, error) {
	word, name, found := strings.Cut(argument, "/")
	if !found {
		word, name = "pod", argument
	}
	if name == "" || strings.Contains(name, "/") {
		return Target{}, &UsageError{fmt.Sprintf("%q names no object; want POD, POD.NAMESPACE or TYPE/NAME, such as deploy/pay", argument)}
	}
	for _, k := range kinds {
		if slices.Contains(k.words, strings.ToLower(word)) {
			return Target{GroupVersionKind: k.GroupVersionKind, Namespace: namespace, Name: name}, nil
		}
	}
	return Target{}, &UsageError{fmt.Sprintf("%q is no kind of object with pods; want %s", word, kindWords())}
}

func kindWords() string {
	var words []string
	for _, k := range kinds {
		words = append(words, k.words[0])
	}
	return strings.Join(words, ", ")
}

// Fetch reads the object from the cluster. If there is none of that name, what follows the last dot is tried as the
// namespace.
func Fetch(ctx context.Context, c client.Reader, t Target) (*unstructured.Unstructured, error) {
	found, err := get(ctx, c, t)
	if dot := strings.LastIndexByte(t.Name, '.'); apierrors.IsNotFound(err) && dot > 0 {
		other := t
		other.Name, other.Namespace = t.Name[:dot], t.Name[dot+1:]
		if in, err := get(ctx, c, other); err == nil {
			return in, nil
		}
	}
	if err != nil {
		return nil, failed(fmt.Sprintf("reading %s %s/%s", strings.ToLower(t.Kind), t.Namespace, t.Name), err)
	}
	return found, nil
}

func get(ctx context.Context, c client.Reader, t Target) (*unstructured.Unstructured, error) {
	object := &unstructured.Unstructured{}
	object.SetGroupVersionKind(t.GroupVersionKind)
	if err := c.Get(ctx, client.ObjectKey{Namespace: t.Namespace, Name: t.Name}, object); err != nil {
		return nil, err
	}
	return object, nil
}

// maxPods bounds what a selector is answered for.
const maxPods = 100

// FetchSelected reads the pods of a namespace that have these labels. If there are none, a selector that names a value
// for each label stands for a pod that doesn't exist yet. The note says which of the two it was.
func FetchSelected(ctx context.Context, c client.Reader, namespace, selector string) ([]*unstructured.Unstructured, string, error) {
	parsed, err := labels.Parse(selector)
	if err != nil {
		return nil, "", &UsageError{fmt.Sprintf("-l %q: %v; want labels, such as app=pay,version=v2", selector, err)}
	}
	list := &unstructured.UnstructuredList{}
	list.SetGroupVersionKind(schema.GroupVersionKind{Version: "v1", Kind: "PodList"})
	if err := c.List(ctx, list, client.InNamespace(namespace), client.MatchingLabelsSelector{Selector: parsed}, client.Limit(maxPods)); err != nil {
		return nil, "", failed(fmt.Sprintf("listing the pods in %s with labels %s", namespace, selector), err)
	}
	if len(list.Items) == 0 {
		pod, err := imagined(namespace, parsed)
		return []*unstructured.Unstructured{pod}, fmt.Sprintf("no pod in namespace %s has these labels; the answer is for a new one with them and nothing else", namespace), err
	}
	pods := make([]*unstructured.Unstructured, len(list.Items))
	for i := range list.Items {
		pods[i] = &list.Items[i]
		pods[i].SetKind("Pod")
		pods[i].SetAPIVersion("v1")
	}
	note := ""
	if list.GetContinue() != "" {
		note = fmt.Sprintf("these are the first %d pods", len(pods))
	}
	return pods, note, nil
}

// imagined is the pod a selector describes.
func imagined(namespace string, selector labels.Selector) (*unstructured.Unstructured, error) {
	requirements, _ := selector.Requirements()
	set := map[string]string{}
	for _, r := range requirements {
		if values := r.ValuesUnsorted(); len(values) == 1 && (r.Operator() == selection.Equals || r.Operator() == selection.DoubleEquals || r.Operator() == selection.In) {
			set[r.Key()] = values[0]
			continue
		}
		return nil, &Failure{
			What: fmt.Sprintf("looking for pods with labels %s in namespace %s", selector, namespace), Why: errors.New("there is none"),
			Try: []string{"another namespace with -n", "-l key=value alone, for a pod that doesn't exist yet"},
		}
	}
	return PodWithLabels(namespace, set), nil
}
