package workload

import (
	"slices"
	"strconv"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/pillion-mesh/pillion/internal/inject"
)

// restartable are the workloads whose rollout restart replaces their pods; of others people know best themselves.
var restartable = []string{"Deployment", "StatefulSet", "DaemonSet"}

// owner is the workload behind a pod: a Deployment rather than one of its ReplicaSets. It has no UID then.
func owner(p *metav1.PartialObjectMetadata) inject.Owner {
	if c := metav1.GetControllerOfNoCopy(p); c != nil {
		return inject.Owner{APIVersion: c.APIVersion, Kind: c.Kind, Name: c.Name, UID: string(c.UID)}.Workload(p.Labels[appsv1.DefaultDeploymentUniqueLabelKey])
	}
	return inject.Owner{APIVersion: "v1", Kind: "Pod", Name: p.Name, UID: string(p.UID)}
}

// ownerKey names that workload among all.
func ownerKey(p *metav1.PartialObjectMetadata) string {
	o := owner(p)
	return p.Namespace + "/" + o.Kind + "/" + o.Name
}

// reference is what Events about a pod are on: the owner it names itself, or the pod.
func reference(p *metav1.PartialObjectMetadata) corev1.ObjectReference {
	if c := metav1.GetControllerOfNoCopy(p); c != nil {
		return corev1.ObjectReference{APIVersion: c.APIVersion, Kind: c.Kind, Namespace: p.Namespace, Name: c.Name, UID: c.UID}
	}
	return corev1.ObjectReference{APIVersion: "v1", Kind: "Pod", Namespace: p.Namespace, Name: p.Name, UID: p.UID}
}

// remedy is what to do about a pod's sidecar.
func remedy(p *metav1.PartialObjectMetadata) string {
	switch o := owner(p); {
	case slices.Contains(restartable, o.Kind):
		return "kubectl rollout restart " + o.Kind + "/" + o.Name + " -n " + p.Namespace
	case o.Kind == "Pod":
		return "make the pod again"
	default:
		return "have " + o.Kind + " " + strconv.Quote(o.Name) + " make the pod again"
	}
}

// remakers are the controllers known to make a pod again that is evicted. A Job counts it as failed, and of workflows,
// virtual machines and others that came with a CRD nobody knows.
var remakers = map[schema.GroupKind]bool{
	{Group: "apps", Kind: "ReplicaSet"}:        true,
	{Group: "apps", Kind: "StatefulSet"}:       true,
	{Group: "apps", Kind: "DaemonSet"}:         true,
	{Group: "", Kind: "ReplicationController"}: true,
}

// replaceable says whether somebody makes the pod again when it is evicted, and nobody minds. Of a controller that isn't
// known to, the pod has to say so: "true". "false" is the user's word, and what is no bool may be meant as that. A node
// makes nothing from here.
func replaceable(p *metav1.PartialObjectMetadata) bool {
	controller := metav1.GetControllerOfNoCopy(p)
	if controller == nil || controller.Kind == "Node" {
		return false
	}
	if _, mirror := p.Annotations[corev1.MirrorPodAnnotationKey]; mirror {
		return false
	}
	allowed, said := p.Annotations[inject.AnnotationEvict]
	if !said {
		return remakers[schema.FromAPIVersionAndKind(controller.APIVersion, controller.Kind).GroupKind()]
	}
	yes, err := strconv.ParseBool(allowed)
	return yes && err == nil
}
