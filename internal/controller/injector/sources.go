package injector

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/pillion-mesh/pillion/api/v1alpha1"
)

// Sizes of texts from ConfigMaps: those the CRD and Validate set for inline ones.
const (
	maxText  = 64 << 10
	maxTexts = 256 << 10
)

// Sources are the ConfigMaps that templates come from. That one changed is seen in its metadata, which is all that is
// kept of the operator's namespace; texts are read when they are compiled.
type Sources struct {
	Metadata  client.Reader // of ConfigMaps in Namespace, from an informer
	Live      client.Reader
	Namespace string
}

// ConfigMapObject is what the informer of Sources.Metadata watches.
func ConfigMapObject() *metav1.PartialObjectMetadata {
	object := &metav1.PartialObjectMetadata{}
	object.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("ConfigMap"))
	return object
}

// references are the names of the ConfigMaps an Injector's templates come from, sorted.
func references(inj *v1alpha1.Injector) []string {
	names := map[string]bool{}
	for _, t := range inj.Spec.Templates {
		if t.ConfigMapRef != nil {
			names[t.ConfigMapRef.Name] = true
		}
	}
	return slices.Sorted(maps.Keys(names))
}

// versions is the same as long as no ConfigMap of inj changed. It may be older than what resolve reads: then the news of
// that is still to come.
func (s Sources) versions(ctx context.Context, inj *v1alpha1.Injector) (string, error) {
	var all []string
	for _, name := range references(inj) {
		object := ConfigMapObject()
		err := s.Metadata.Get(ctx, client.ObjectKey{Namespace: s.Namespace, Name: name}, object)
		if client.IgnoreNotFound(err) != nil {
			return "", fmt.Errorf("looking up ConfigMap %s/%s: %w", s.Namespace, name, err)
		}
		all = append(all, name+"="+string(object.UID)+"/"+object.ResourceVersion)
	}
	return strings.Join(all, " "), nil
}

// Resolve puts the texts of ConfigMaps where inj refers to them, so that it is complete in itself. The faults are by
// template; the error says that it couldn't be found out.
func (s Sources) Resolve(ctx context.Context, inj *v1alpha1.Injector) (map[string][]v1alpha1.TemplateError, error) {
	read := map[string]*corev1.ConfigMap{}
	for _, name := range references(inj) {
		cm := &corev1.ConfigMap{}
		err := s.Live.Get(ctx, client.ObjectKey{Namespace: s.Namespace, Name: name}, cm)
		switch {
		case err == nil:
			read[name] = cm
		case !apierrors.IsNotFound(err):
			return nil, fmt.Errorf("reading the templates in ConfigMap %s/%s: %w", s.Namespace, name, err)
		}
	}
	return s.fill(inj, read), nil
}

// fill is Resolve once everything is read.
func (s Sources) fill(inj *v1alpha1.Injector, read map[string]*corev1.ConfigMap) map[string][]v1alpha1.TemplateError {
	faults, total := map[string][]v1alpha1.TemplateError{}, 0
	for i := range inj.Spec.Templates {
		t := &inj.Spec.Templates[i]
		if t.ConfigMapRef != nil {
			text, fault := s.text(t.ConfigMapRef, read[t.ConfigMapRef.Name])
			if fault == "" && total+len(text) > maxTexts {
				fault = fmt.Sprintf("the templates up to this one are %d bytes long together; want at most %d", total+len(text), maxTexts)
			}
			if fault != "" {
				faults[t.Name] = []v1alpha1.TemplateError{{Message: fault}}
				continue
			}
			t.Inline, t.ConfigMapRef = text, nil
		}
		total += len(t.Inline)
	}
	return faults
}

// text is one template's, or what is wrong with it.
func (s Sources) text(ref *v1alpha1.ConfigMapKey, cm *corev1.ConfigMap) (text, fault string) {
	at := fmt.Sprintf("ConfigMap %s/%s", s.Namespace, ref.Name)
	if cm == nil {
		return "", at + " doesn't exist; make it, or put the text into inline"
	}
	text, found := cm.Data[ref.Key]
	switch {
	case found && len(text) > maxText:
		return "", fmt.Sprintf("%s, key %q: the text is %d bytes long; want at most %d", at, ref.Key, len(text), maxText)
	case found && strings.TrimSpace(text) == "":
		return "", fmt.Sprintf("%s, key %q: there is no text; want a partial Pod in YAML", at, ref.Key)
	case found:
		return text, ""
	case cm.BinaryData[ref.Key] != nil:
		return "", fmt.Sprintf("%s, key %q: it holds bytes; want text, in UTF-8", at, ref.Key)
	}
	return "", fmt.Sprintf("%s has no key %q; %s", at, ref.Key, keys(cm))
}

// keys says what a ConfigMap has instead: some of it.
func keys(cm *corev1.ConfigMap) string {
	const most = 8
	names := slices.Sorted(maps.Keys(cm.Data))
	switch {
	case len(names) == 0:
		return "it is empty"
	case len(names) > most:
		return fmt.Sprintf("it has %s and %d more", strings.Join(names[:most], ", "), len(names)-most)
	}
	return "it has " + strings.Join(names, ", ")
}

// TrimConfigMap is the informer's transform: name and version are all that is looked at.
func TrimConfigMap(object any) (any, error) {
	if m, ok := object.(*metav1.PartialObjectMetadata); ok {
		m.Labels, m.Annotations, m.ManagedFields, m.OwnerReferences, m.Finalizers = nil, nil, nil, nil, nil
	}
	return object, nil
}
