package inject

import "context"

// Workload is what became of one object of a file.
type Workload struct {
	APIVersion string   `json:"apiVersion"`
	Kind       string   `json:"kind"`
	Namespace  string   `json:"namespace,omitempty"`
	Name       string   `json:"name"`
	Pod        bool     `json:"pod"` // it has a pod or a pod template; others pass through unchanged
	Decision   Decision `json:"decision,omitzero"`
	Changed    bool     `json:"changed"`
	JSON       []byte   `json:"-"` // the object after injection
}

// Document is one YAML or JSON document of a file. A List keeps its items in order.
type Document struct {
	JSON      []byte // the document after injection
	Workloads []Workload
}

// WorkloadOptions are what a file can't say.
type WorkloadOptions struct {
	Namespace  Namespace            // of objects that name none; its labels and annotations hold for all of that name
	Namespaces map[string]Namespace // by name: labels and annotations of namespaces; missing ones have none
	Native     bool                 // the cluster's nodes can run native sidecars
}

// Workloads injects every pod and pod template of a YAML or JSON file: the same kinds come out in the same order.
func (s *Set) Workloads(ctx context.Context, file []byte, o WorkloadOptions) ([]Document, error) {
	return nil, nil
}
