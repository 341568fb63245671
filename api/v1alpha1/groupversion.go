// Package v1alpha1 is Pillion's API, group pillion.dev: the Injector resource, its defaults and its validation.
// Read injector.go first.
//
// +kubebuilder:object:generate=true
// +groupName=pillion.dev
package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// GroupVersion names this API.
var GroupVersion = schema.GroupVersion{Group: "pillion.dev", Version: "v1alpha1"}

// AddToScheme registers the types of this package.
func AddToScheme(scheme *runtime.Scheme) error {
	scheme.AddKnownTypes(GroupVersion, &Injector{}, &InjectorList{})
	metav1.AddToGroupVersion(scheme, GroupVersion)
	return nil
}
