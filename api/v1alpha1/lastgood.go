package v1alpha1

// The operator keeps the last version of each Injector that compiled in a ConfigMap of its namespace, as JSON: what it
// goes on with while the present version is faulty, also over restarts, and what check-inject reads to say the same. An
// operator's are named after its Service, like all that is one operator's, so that two write none of each other's.
const (
	lastGoodInfix = "-last-good-"
	LastGoodKey   = "injector.json"
)

// LastGoodName is the name of an Injector's ConfigMap, kept by the operator of a Service.
func LastGoodName(service, injector string) string { return service + lastGoodInfix + injector }
