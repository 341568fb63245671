package inject

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/yaml"

	"github.com/pillion-mesh/pillion/internal/inject/rawjson"
)

// WorkloadOptions are what a file can't say.
type WorkloadOptions struct {
	Namespace  Namespace            // of objects that name none
	Namespaces map[string]Namespace // labels and annotations of other namespaces, by name; missing ones have none
	Native     bool                 // the cluster's nodes can run native sidecars
	Injector   string               // with Entry: decide for this Injector and entry, whatever the webhooks select
	Entry      string
}

// Document is one document of a file after injection. A List stays one document.
type Document struct {
	Source    []byte     // as it was read: what to write if nothing changed
	JSON      []byte     // the document after injection
	Changed   bool       // something was injected
	Workloads []Workload // what became of each object in it
}

// Workload is what became of one object.
type Workload struct {
	APIVersion string   `json:"apiVersion"`
	Kind       string   `json:"kind"`
	Namespace  string   `json:"namespace,omitempty"`
	Name       string   `json:"name"`
	IsWorkload bool     `json:"isWorkload"` // it has a pod or a pod template; others pass through
	Decision   Decision `json:"decision,omitzero"`
	Changed    bool     `json:"changed"`
}

// templatePaths lead to the pod template of each kind of workload; a Pod is its own.
var templatePaths = map[string][]string{
	"v1/Pod":                   {},
	"v1/PodTemplate":           {"template"},
	"v1/ReplicationController": {"spec", "template"},
	"apps/v1/Deployment":       {"spec", "template"},
	"apps/v1/ReplicaSet":       {"spec", "template"},
	"apps/v1/StatefulSet":      {"spec", "template"},
	"apps/v1/DaemonSet":        {"spec", "template"},
	"batch/v1/Job":             {"spec", "template"},
	"batch/v1/CronJob":         {"spec", "jobTemplate", "spec", "template"},
	"batch/v1beta1/CronJob":    {"spec", "jobTemplate", "spec", "template"},
}

// Workloads injects every pod and pod template of a YAML or JSON file: the same kinds come out in the same order, and
// what isn't a workload passes through. A denial is in the Workload's decision; the error is for files that can't be
// read.
func (s *Set) Workloads(ctx context.Context, file []byte, o WorkloadOptions) ([]Document, error) {
	return documents(file, func(pod *rawjson.Value, isPod bool, w *Workload) *rawjson.Value {
		return s.workload(ctx, pod, isPod, w, o)
	})
}

// change makes another pod, or pod template, of one and notes in w what it did; the same if there is nothing to do.
type change func(pod *rawjson.Value, isPod bool, w *Workload) *rawjson.Value

// documents applies a change to every workload of a file.
func documents(file []byte, f change) ([]Document, error) {
	var docs []Document
	if !bytes.HasSuffix(file, []byte("\n")) {
		file = append(slices.Clip(file), '\n') // without, the reader loses a last line of 4096 bytes, or 8192, and so on
	}
	reader := utilyaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(file)))
	for n := 1; ; n++ {
		source, err := reader.Read()
		if errors.Is(err, io.EOF) {
			return docs, nil
		}
		if err != nil {
			return nil, fmt.Errorf("reading document %d: %w", n, err)
		}
		if len(bytes.TrimSpace(source)) == 0 {
			continue
		}
		doc, err := document(source, f)
		if err != nil {
			return nil, fmt.Errorf("reading document %d: %w", n, err)
		}
		docs = append(docs, doc)
	}
}

func document(source []byte, f change) (Document, error) {
	text, err := toJSON(source)
	if err != nil {
		return Document{}, err
	}
	root, err := rawjson.Parse(string(text))
	if err != nil {
		return Document{}, err
	}
	doc := Document{Source: source}
	changed := doc.object(root, f)
	doc.JSON, doc.Changed = changed.Append(nil), changed != root
	return doc, nil
}

// toJSON keeps JSON as it is, with its order of fields.
func toJSON(source []byte) ([]byte, error) {
	if trimmed := bytes.TrimSpace(source); trimmed[0] == '{' {
		if _, err := rawjson.ParseTo(string(trimmed), 0); err == nil {
			return trimmed, nil
		}
	}
	return yaml.YAMLToJSONStrict(source)
}

// object changes one object, or each of a List.
func (doc *Document) object(root *rawjson.Value, f change) *rawjson.Value {
	if items := root.Get("items"); root.Get("kind").Text() == "List" && items.Kind() == rawjson.List {
		list := make([]*rawjson.Value, len(items.Items()))
		changed := false
		for i, item := range items.Items() {
			list[i] = doc.object(item, f)
			changed = changed || list[i] != item
		}
		if !changed {
			return root
		}
		return root.With("items", rawjson.NewList(list...))
	}
	w := Workload{
		APIVersion: root.Get("apiVersion").Text(), Kind: root.Get("kind").Text(),
		Namespace: root.Get("metadata", "namespace").Text(), Name: viewPod(root).name(),
	}
	path, known := templatePaths[w.APIVersion+"/"+w.Kind]
	if pod := root.Get(path...); known && pod.Kind() == rawjson.Object {
		w.IsWorkload = true
		changed := f(pod, len(path) == 0, &w)
		if w.Changed = changed != pod; w.Changed {
			root = replaceAt(root, path, changed)
		}
	}
	doc.Workloads = append(doc.Workloads, w)
	return root
}

func (s *Set) workload(ctx context.Context, pod *rawjson.Value, isPod bool, w *Workload, o WorkloadOptions) *rawjson.Value {
	r := Request{Native: o.Native, Injector: o.Injector, Entry: o.Entry, Namespace: o.namespace(w.Namespace), Pod: pod.Append(nil)}
	w.Namespace = r.Namespace.Name
	if !isPod {
		r.Owner = Owner{APIVersion: w.APIVersion, Kind: w.Kind, Name: w.Name}
	}
	result := s.Inject(ctx, r)
	w.Decision = result.Decision
	if result.Outcome != OutcomeInject || result.Patch == nil {
		return pod
	}
	return result.pod
}

func (o *WorkloadOptions) namespace(name string) Namespace {
	if name == "" || name == o.Namespace.Name {
		return o.Namespace
	}
	ns := o.Namespaces[name]
	ns.Name = name
	return ns
}

// replaceAt is root with another value at path.
func replaceAt(root *rawjson.Value, path []string, value *rawjson.Value) *rawjson.Value {
	if len(path) == 0 {
		return value
	}
	return root.With(path[0], replaceAt(root.Get(path[0]), path[1:], value))
}
