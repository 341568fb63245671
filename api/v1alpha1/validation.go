package v1alpha1

import "k8s.io/apimachinery/pkg/util/validation/field"

// Validate finds what the CRD's schema and CEL rules can't say. It expects SetDefaults to have run.
func Validate(i *Injector) field.ErrorList { return nil }
