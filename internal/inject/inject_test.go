package inject_test

import (
	"sync"
	"testing"

	"github.com/pillion-mesh/pillion/api/v1alpha1"
	"github.com/pillion-mesh/pillion/internal/inject"
	"github.com/pillion-mesh/pillion/internal/inject/injecttest"
	"github.com/pillion-mesh/pillion/templates"
)

func operator() inject.Operator { return injecttest.Operator(templates.FS) }

func injector(name, revision string, edits ...func(*v1alpha1.InjectorSpec)) v1alpha1.Injector {
	return injecttest.Injector(name, revision, edits...)
}

// compiled are the Sets of this run by their Injectors as JSON: with the race detector compiling is what takes longest,
// and most tests want the same few.
var compiled sync.Map // string -> func() (*inject.Set, error)

func setOf(t testing.TB, injectors ...v1alpha1.Injector) *inject.Set {
	t.Helper()
	compile := sync.OnceValues(func() (*inject.Set, error) { return injecttest.NewSet(operator(), injectors...) })
	known, _ := compiled.LoadOrStore(mustJSON(injectors), compile)
	set, err := known.(func() (*inject.Set, error))()
	if err != nil {
		t.Fatal(err)
	}
	return set
}
