package workload

import (
	"unique"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"

	"github.com/pillion-mesh/pillion/internal/inject"
	"github.com/pillion-mesh/pillion/internal/istio"
)

// kept are the annotations that matter here; the others are most of a pod's metadata.
var kept = [...]string{istio.AnnotationStatus, inject.AnnotationInjector, inject.AnnotationInjectorHash, inject.AnnotationEvict, corev1.MirrorPodAnnotationKey}

// PodObject is what the informer watches: metadata only.
func PodObject() *metav1.PartialObjectMetadata {
	p := &metav1.PartialObjectMetadata{}
	p.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("Pod"))
	return p
}

// Unfinished selects, on the API server, pods that haven't ended: metadata doesn't tell.
func Unfinished() fields.Selector {
	return fields.AndSelectors(
		fields.OneTermNotEqualSelector("status.phase", string(corev1.PodSucceeded)),
		fields.OneTermNotEqualSelector("status.phase", string(corev1.PodFailed)))
}

// Trim is the informer's transform: of the metadata it keeps what is looked at, and texts that many pods have once.
func Trim(object any) (any, error) {
	p, ok := object.(*metav1.PartialObjectMetadata)
	if !ok {
		return object, nil
	}
	m := &p.ObjectMeta
	trimmed := &metav1.PartialObjectMetadata{TypeMeta: p.TypeMeta, ObjectMeta: metav1.ObjectMeta{
		Name: m.Name, Namespace: shared(m.Namespace), UID: m.UID, ResourceVersion: m.ResourceVersion,
		CreationTimestamp: m.CreationTimestamp, DeletionTimestamp: m.DeletionTimestamp,
		Labels: sharedMap(m.Labels), Annotations: trimAnnotations(m.Annotations),
	}}
	if owner := metav1.GetControllerOfNoCopy(m); owner != nil {
		trimmed.OwnerReferences = []metav1.OwnerReference{{
			APIVersion: shared(owner.APIVersion), Kind: shared(owner.Kind), Name: shared(owner.Name),
			UID: owner.UID, Controller: new(true),
		}}
	}
	return trimmed, nil
}

func trimAnnotations(all map[string]string) map[string]string {
	var few map[string]string
	for _, key := range kept {
		value, has := all[key]
		if !has {
			continue
		}
		if key == istio.AnnotationStatus {
			value = "" // that it is there is all that counts
		}
		if few == nil {
			few = make(map[string]string, len(kept))
		}
		few[key] = shared(value)
	}
	return few
}

func sharedMap(texts map[string]string) map[string]string {
	if len(texts) == 0 {
		return nil
	}
	same := make(map[string]string, len(texts))
	for key, value := range texts {
		same[shared(key)] = shared(value)
	}
	return same
}

func shared(text string) string { return unique.Make(text).Value() }
