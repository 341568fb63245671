package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"strings"

	"sigs.k8s.io/yaml"

	"github.com/pillion-mesh/pillion/internal/inject"
)

// WriteDocuments prints injected documents as they came: YAML documents with separators, or JSON.
func WriteDocuments(w io.Writer, documents []inject.Document, format string) error {
	for i := range documents {
		text, err := encode(&documents[i], format)
		if err != nil {
			return fmt.Errorf("document %d: %w", i+1, err)
		}
		if format != "json" && i > 0 {
			text = append([]byte("---\n"), text...)
		}
		if _, err := fmt.Fprintf(w, "%s\n", bytes.TrimRight(text, "\n")); err != nil {
			return err
		}
	}
	return nil
}

// encode keeps the bytes of a document nothing was injected into: comments and order are the user's.
func encode(d *inject.Document, format string) ([]byte, error) {
	switch {
	case format == "json":
		return d.JSON, nil
	case !d.Changed:
		return bytes.TrimPrefix(bytes.TrimSpace(d.Source), []byte("---\n")), nil
	}
	return yaml.JSONToYAML(d.JSON)
}

// WriteReport prints, a line each, what became of every workload, and says how many were denied.
func WriteReport(w io.Writer, documents []inject.Document) (denied int) {
	for workload := range workloads(documents) {
		d := &workload.Decision
		fmt.Fprintf(w, "%s %s: %s (%s)\n", mark(d.Outcome == inject.OutcomeInject), nameOf(workload), d.Message(), d.Reason())
		writeDetails(w, d)
		denied += count(isDenied(d))
	}
	return denied
}

// WriteUndone prints, a line each, whose sidecar was taken out, and says how many couldn't be.
func WriteUndone(w io.Writer, documents []inject.Document) (denied int) {
	for workload := range workloads(documents) {
		switch d := &workload.Decision; {
		case isDenied(d):
			fmt.Fprintf(w, "✘ %s: %s (%s)\n", nameOf(workload), d.Message(), d.Reason())
			writeDetails(w, d)
			denied++
		case workload.Changed:
			fmt.Fprintf(w, "✔ %s: the sidecar is taken out\n", nameOf(workload))
		default:
			fmt.Fprintf(w, "· %s: has no sidecar of ours\n", nameOf(workload))
		}
	}
	return denied
}

// workloads are the objects with pods in them.
func workloads(documents []inject.Document) iter.Seq[*inject.Workload] {
	return func(yield func(*inject.Workload) bool) {
		for _, d := range documents {
			for i := range d.Workloads {
				if d.Workloads[i].IsWorkload && !yield(&d.Workloads[i]) {
					return
				}
			}
		}
	}
}

func nameOf(w *inject.Workload) string {
	name := w.Name
	if w.Namespace != "" {
		name = w.Namespace + "/" + name
	}
	return strings.ToLower(w.Kind) + " " + name
}

func isDenied(d *inject.Decision) bool {
	return d.Outcome == inject.OutcomeDeny || d.Outcome == inject.OutcomeError
}

func writeDetails(w io.Writer, d *inject.Decision) {
	for _, f := range d.Faults {
		fmt.Fprintf(w, "    %s\n", f.Message)
	}
	for _, warning := range d.Warnings {
		fmt.Fprintf(w, "    warning: %s\n", warning)
	}
	if advice := d.Advice(); advice != "" {
		fmt.Fprintf(w, "    to inject it: %s\n", advice)
	}
}

func count(yes bool) int {
	if yes {
		return 1
	}
	return 0
}

// FileOptions are what a file can't say.
type FileOptions struct {
	Namespace       string            // of objects that name none
	NamespaceLabels map[string]string // of namespaces that the file itself doesn't hold
	Native          bool              // the nodes can run native sidecars
}

// InjectFile injects every workload of a file.
func InjectFile(ctx context.Context, set *inject.Set, file []byte, o FileOptions) ([]inject.Document, error) {
	namespaces, err := namespacesOf(file, o)
	if err != nil {
		return nil, err
	}
	documents, err := set.Workloads(ctx, file, inject.WorkloadOptions{
		Namespace: namespaces[o.Namespace], Namespaces: namespaces, Native: o.Native,
	})
	if err != nil {
		return nil, err
	}
	return some(documents)
}

// UninjectFile takes our sidecars out of every workload of a file.
func UninjectFile(file []byte) ([]inject.Document, error) {
	documents, err := inject.Uninject(file)
	if err != nil {
		return nil, err
	}
	return some(documents)
}

func some(documents []inject.Document) ([]inject.Document, error) {
	if len(documents) == 0 {
		return nil, errors.New("no YAML or JSON document in it")
	}
	return documents, nil
}

// namespacesOf are the namespaces a file speaks of: those it holds with the labels it gives them, all others with the
// labels of the command line.
func namespacesOf(file []byte, o FileOptions) (map[string]inject.Namespace, error) {
	objects, err := ReadObjects(file)
	if err != nil {
		return nil, err
	}
	all := map[string]inject.Namespace{o.Namespace: {Name: o.Namespace, Labels: o.NamespaceLabels}}
	for _, object := range objects {
		if name := object.GetNamespace(); name != "" {
			all[name] = inject.Namespace{Name: name, Labels: o.NamespaceLabels}
		}
	}
	for _, object := range objects {
		if object.GetKind() == "Namespace" && object.GetAPIVersion() == "v1" {
			all[object.GetName()] = inject.Namespace{Name: object.GetName(), Labels: object.GetLabels(), Annotations: object.GetAnnotations()}
		}
	}
	return all, nil
}
