package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"sigs.k8s.io/yaml"

	"github.com/pillion-mesh/pillion/api/v1alpha1"
	"github.com/pillion-mesh/pillion/internal/inject"
)

// ReadInjectors reads every Injector of a YAML or JSON file, with defaults set and validated. Other kinds are passed
// over, so that a folder's worth of manifests can be given as it is.
func ReadInjectors(file []byte) ([]v1alpha1.Injector, error) {
	var injectors []v1alpha1.Injector
	for i, document := range splitYAML(file) {
		var inj v1alpha1.Injector
		if err := yaml.Unmarshal(document, &inj); err != nil {
			return nil, fmt.Errorf("document %d: %w", i+1, err)
		}
		if inj.Kind != "Injector" {
			continue
		}
		if err := yaml.UnmarshalStrict(document, &inj); err != nil {
			return nil, fmt.Errorf("injector %q: %w", inj.Name, err)
		}
		v1alpha1.SetDefaults(&inj)
		if faults := v1alpha1.Validate(&inj); len(faults) > 0 {
			return nil, fmt.Errorf("injector %q: %w", inj.Name, faults.ToAggregate())
		}
		injectors = append(injectors, inj)
	}
	if len(injectors) == 0 {
		return nil, fmt.Errorf("no Injector in it; want at least one document of kind Injector, apiVersion %s", v1alpha1.GroupVersion)
	}
	return injectors, nil
}

func splitYAML(file []byte) [][]byte {
	var documents [][]byte
	for _, d := range bytes.Split(append([]byte("\n"), file...), []byte("\n---")) {
		if len(bytes.TrimSpace(d)) > 0 {
			documents = append(documents, d)
		}
	}
	return documents
}

// DefaultInjector is what an operator makes when there is no Injector.
func DefaultInjector() v1alpha1.Injector {
	inj := v1alpha1.Injector{}
	inj.Name = "default"
	v1alpha1.SetDefaults(&inj)
	return inj
}

// OfflineSet compiles Injectors as the operator would.
func OfflineSet(injectors []v1alpha1.Injector, op inject.Operator) (*inject.Set, error) {
	owned, refused := inject.Claims(injectors)
	for _, r := range refused {
		return nil, fmt.Errorf("injector %q claims the name %q, which injector %q has", r.Injector, r.Name, r.Owner)
	}
	var programs []*inject.Program
	for i := range injectors {
		program, err := inject.Compile(&injectors[i], op)
		if err != nil {
			return nil, err
		}
		programs = append(programs, program)
	}
	return inject.NewSet(op, programs, owned), nil
}

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
	for _, d := range documents {
		for i := range d.Workloads {
			denied += writeWorkload(w, &d.Workloads[i])
		}
	}
	return denied
}

func writeWorkload(w io.Writer, workload *inject.Workload) (denied int) {
	if !workload.IsWorkload {
		return 0
	}
	d := &workload.Decision
	name := strings.ToLower(workload.Kind) + " " + workload.Namespace + "/" + workload.Name
	fmt.Fprintf(w, "%s %s: %s (%s)\n", mark(d.Outcome == inject.OutcomeInject), name, d.Message(), d.Reason())
	for _, f := range d.Faults {
		fmt.Fprintf(w, "    %s\n", f.Message)
	}
	for _, warning := range d.Warnings {
		fmt.Fprintf(w, "    warning: %s\n", warning)
	}
	if d.Outcome == inject.OutcomeDeny || d.Outcome == inject.OutcomeError {
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
