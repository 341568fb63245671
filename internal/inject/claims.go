package inject

import (
	"cmp"
	"slices"

	"github.com/pillion-mesh/pillion/api/v1alpha1"
)

// Refused is a name an Injector wanted but another one owns.
type Refused struct {
	Injector string
	Name     string
	Owner    string // the Injector that has it
}

// Claims decides which Injector owns which name: the oldest wins, then the first by name.
func Claims(injectors []v1alpha1.Injector) (owned map[string]string, refused []Refused) {
	order := make([]*v1alpha1.Injector, len(injectors))
	for i := range injectors {
		order[i] = &injectors[i]
	}
	slices.SortFunc(order, func(a, b *v1alpha1.Injector) int {
		return cmp.Or(a.CreationTimestamp.Compare(b.CreationTimestamp.Time), cmp.Compare(a.Name, b.Name))
	})
	owned = map[string]string{}
	for _, inj := range order {
		for _, name := range inj.Names() {
			if owner, taken := owned[name]; taken {
				refused = append(refused, Refused{Injector: inj.Name, Name: name, Owner: owner})
				continue
			}
			owned[name] = inj.Name
		}
	}
	return owned, refused
}
