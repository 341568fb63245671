package cli

import (
	"fmt"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"
)

// ReadObjects reads every object of a YAML or JSON file, Lists taken apart.
func ReadObjects(file []byte) ([]*unstructured.Unstructured, error) {
	var objects []*unstructured.Unstructured
	for i, document := range splitYAML(file) {
		object := &unstructured.Unstructured{}
		if err := yaml.Unmarshal(document, &object.Object); err != nil {
			return nil, fmt.Errorf("document %d: %w", i+1, err)
		}
		if object.Object == nil { // comments only
			continue
		}
		if object.GetKind() == "" {
			return nil, fmt.Errorf("document %d has no kind; want a Kubernetes object", i+1)
		}
		if !object.IsList() {
			objects = append(objects, object)
			continue
		}
		list, err := object.ToList()
		if err != nil {
			return nil, fmt.Errorf("document %d: %w", i+1, err)
		}
		for j := range list.Items {
			objects = append(objects, &list.Items[j])
		}
	}
	return objects, nil
}

// PodWithLabels is a pod that doesn't exist yet: nothing but labels is known of it.
func PodWithLabels(namespace string, labels map[string]string) *unstructured.Unstructured {
	pod := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "v1", "kind": "Pod",
		"spec": map[string]any{"containers": []any{map[string]any{"name": "app", "image": "app"}}},
	}}
	pod.SetNamespace(namespace)
	pod.SetName("new-pod")
	pod.SetLabels(labels)
	return pod
}
