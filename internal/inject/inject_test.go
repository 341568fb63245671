package inject_test

import (
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

func setOf(t testing.TB, injectors ...v1alpha1.Injector) *inject.Set {
	t.Helper()
	set, err := injecttest.NewSet(operator(), injectors...)
	if err != nil {
		t.Fatal(err)
	}
	return set
}
