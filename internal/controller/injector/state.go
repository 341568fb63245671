package injector

import (
	"slices"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/pillion-mesh/pillion/api/v1alpha1"
	"github.com/pillion-mesh/pillion/internal/inject"
)

// Compiled is what became of one Injector.
type Compiled struct {
	UID        types.UID
	Generation int64
	Sources    string             // versions of the ConfigMaps its templates come from, as far as known before compiling
	Program    *inject.Program    // what is served; nil if no version of it ever compiled
	InEffect   *v1alpha1.Injector // the version Program is of, complete in itself: its ConfigMaps' texts are inline
	Invalid    field.ErrorList    // of the present version
	Fault      *inject.CompileError
	Pending    error // why it isn't known yet what to serve; the next Refresh tries again
}

// Previous says whether an older version is in use because the present one is faulty.
func (c *Compiled) Previous() bool {
	return c.Program != nil && (len(c.Invalid) > 0 || c.Fault != nil || c.Pending != nil)
}

// State is the outcome for all Injectors: immutable.
type State struct {
	Set       *inject.Set
	Injectors map[string]*Compiled
	Owned     map[string]string // name -> Injector, also those that another operator serves
	Refused   []inject.Refused
	Identity  Identity
}

// Names are the names an Injector owns, sorted.
func (s *State) Names(injector string) []string {
	var names []string
	for name, owner := range s.Owned {
		if owner == injector {
			names = append(names, name)
		}
	}
	return slices.Sorted(slices.Values(names))
}

// InEffect is the spec that an Injector's webhooks are rendered from, nil if there is none.
func (c *Compiler) InEffect(inj *v1alpha1.Injector) *v1alpha1.InjectorSpec {
	s := c.state.Load()
	if s == nil || s.Injectors[inj.Name] == nil || s.Injectors[inj.Name].UID != inj.UID || s.Injectors[inj.Name].InEffect == nil {
		return nil
	}
	return &s.Injectors[inj.Name].InEffect.Spec
}
