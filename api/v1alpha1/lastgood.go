package v1alpha1

// The operator keeps the last version of each Injector that compiled in a ConfigMap of its namespace, as JSON: what it
// goes on with while the present version is faulty, also over restarts, and what check-inject reads to say the same.
const (
	LastGoodPrefix = "pillion-last-good-" // + name of the Injector
	LastGoodKey    = "injector.json"
)
