package inject

import (
	"errors"
	"fmt"
	"slices"

	"github.com/pillion-mesh/pillion/internal/inject/rawjson"
	"github.com/pillion-mesh/pillion/internal/istio"
)

// writtenAnnotations are ours alone: they go when a pod is stripped and come back when it is injected.
var writtenAnnotations = []string{
	istio.AnnotationStatus, istio.AnnotationOverrides, istio.LabelRevision,
	AnnotationInjector, AnnotationInjectorHash, AnnotationReason, AnnotationUndo,
}

var errWritten = errors.New("is no JSON object; the injector writes this annotation: remove it")

// strip takes an earlier injection out of a pod: it removes what the status annotation lists and puts the saved
// containers back. A pod that isn't ours only loses a saved-containers annotation it can't have from us.
func strip(root *rawjson.Value) (*rawjson.Value, []Fault) {
	annotations := root.Get("metadata", "annotations")
	overrides, faults := writtenObject(annotations, istio.AnnotationOverrides)
	if !isInjected(annotations) {
		if !annotations.Has(istio.AnnotationOverrides) {
			return root, nil
		}
		return withAnnotations(root, annotations.With(istio.AnnotationOverrides, nil)), faults
	}
	status, statusFaults := writtenObject(annotations, istio.AnnotationStatus)
	undo, undoFaults := writtenObject(annotations, AnnotationUndo)
	faults = slices.Concat(faults, statusFaults, undoFaults, tooManySaved(overrides))
	if faults != nil {
		return root, faults
	}
	spec := root.Get("spec")
	for _, list := range []string{"initContainers", "containers", "volumes", "imagePullSecrets"} {
		left := without(spec.Get(list), status.Get(list), overrides.Get(list), undo.Get("places"))
		switch {
		case len(left) == 0 && len(spec.Get(list).Items()) == 0: // not there, or empty as it came
		case len(left) > 0 || list == "containers":
			spec = spec.With(list, rawjson.NewList(left...))
		default:
			spec = spec.With(list, nil)
		}
	}
	stripped := reverted(withAnnotations(root.With("spec", spec), withoutWritten(annotations)), undo.Get("pod"))
	if err := checkShape(stripped); err != nil { // what was saved in an annotation was checked by nobody yet
		return root, []Fault{annotationFault(istio.AnnotationOverrides, annotationText(root, istio.AnnotationOverrides),
			fmt.Errorf("%w, once the injection before is taken out; remove the annotations %s, %s and %s",
				err, istio.AnnotationOverrides, AnnotationUndo, istio.AnnotationStatus))}
	}
	return stripped, nil
}

// reverted is a pod with what an injection changed of it put back.
func reverted(root, changed *rawjson.Value) *rawjson.Value {
	metadata, spec := root.Get("metadata"), root.Get("spec")
	for _, m := range changed.Get("metadata").Members() {
		if m.Value.Kind() == rawjson.Object && (m.Key == "labels" || m.Key == "annotations") {
			metadata = metadata.With(m.Key, revert(orValue(metadata.Get(m.Key), rawjson.NewObject()), m.Value, nil))
		}
	}
	if changes := changed.Get("spec"); changes.Kind() == rawjson.Object && spec != nil {
		spec = revert(spec, changes, specSchema)
	}
	return root.With("metadata", metadata).With("spec", spec)
}

func withoutWritten(annotations *rawjson.Value) *rawjson.Value {
	for _, key := range writtenAnnotations {
		if annotations.Has(key) {
			annotations = annotations.With(key, nil)
		}
	}
	return annotations
}

func annotationText(root *rawjson.Value, key string) string {
	return root.Get("metadata", "annotations", key).Text()
}

// isInjected says whether a pod has a sidecar of ours.
func isInjected(annotations *rawjson.Value) bool {
	return annotations.Has(istio.AnnotationStatus) && annotations.Has(AnnotationInjector)
}

// maxWritten bounds what an annotation of ours may hold, in values. It's what a pod brings along, so anybody may have
// written it.
const maxWritten = 1 << 16

// writtenObject reads an annotation that holds a JSON object; nil if it isn't there.
func writtenObject(annotations *rawjson.Value, key string) (*rawjson.Value, []Fault) {
	value := annotations.Get(key)
	if value == nil {
		return nil, nil
	}
	object, err := rawjson.ParseUpTo(value.Text(), maxWritten)
	switch {
	case err != nil:
		return nil, []Fault{annotationFault(key, value.Text(), fmt.Errorf("%w (%w)", errWritten, err))}
	case object.Kind() != rawjson.Object:
		return nil, []Fault{annotationFault(key, value.Text(), errWritten)}
	}
	return object, nil
}

// tooManySaved counts before anything is done with what is saved.
func tooManySaved(overrides *rawjson.Value) []Fault {
	for _, m := range overrides.Members() {
		if n := m.Value.Len(); n > maxNamed {
			return []Fault{annotationFault(istio.AnnotationOverrides, overrides.String(),
				fmt.Errorf("%q has %d items; want at most %d. The injector writes this annotation: remove it", cut(m.Key, shown), n, maxNamed))}
		}
	}
	return nil
}

// without is a list less the items of these names, plus what was saved, each where it stood.
func without(list, names, saved, places *rawjson.Value) (items []*rawjson.Value) {
	taken := make(map[string]bool, len(names.Items()))
	for _, name := range names.Items() {
		taken[name.Text()] = true
	}
	for _, item := range list.Items() {
		if !taken[nameOf(item)] {
			items = append(items, item)
		}
	}
	stood := places.Finder()
	for _, item := range saved.Items() {
		if item.Kind() == rawjson.Object {
			at, known := number(stood.Get(nameOf(item)))
			if !known || at < 0 || at > int64(len(items)) {
				at = int64(len(items))
			}
			items = slices.Insert(items, int(at), item)
		}
	}
	return items
}

func withAnnotations(root, annotations *rawjson.Value) *rawjson.Value {
	return root.With("metadata", root.Get("metadata").With("annotations", annotations))
}
