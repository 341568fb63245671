package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
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
		return nil, fmt.Errorf("reading %s %s/%s: %w", strings.ToLower(t.Kind), t.Namespace, t.Name, hint(err))
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

// hint adds what to do to an API error that users meet.
func hint(err error) error {
	switch {
	case apierrors.IsNotFound(err):
		return fmt.Errorf("%w\n  try: the namespace with -n, or -f FILE for something not in the cluster", err)
	case apierrors.IsForbidden(err):
		return fmt.Errorf("%w\n  try: ask for that permission, or -f FILE to work without the cluster", err)
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("%w\n  try: kubectl version, to see whether the API server answers", err)
	}
	return err
}
