package inject_test

import (
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pillion-mesh/pillion/api/v1alpha1"
	"github.com/pillion-mesh/pillion/internal/inject"
	"github.com/pillion-mesh/pillion/templates"
)

// operator of all tests.
func operator() inject.Operator {
	return inject.Operator{
		Namespace: "pillion-system", Service: "pillion", ServicePort: 443,
		SidecarImage: "pillion/pillion-sidecar:dev",
		Mesh:         inject.Mesh{ID: "mesh1", TrustDomain: "cluster.local", ClusterID: "Kubernetes", ClusterDomain: "cluster.local"},
		Templates:    templates.FS,
	}
}

// injector of a name and revision; edits change its spec.
func injector(name, revision string, edits ...func(*v1alpha1.InjectorSpec)) v1alpha1.Injector {
	inj := v1alpha1.Injector{ObjectMeta: metav1.ObjectMeta{Name: name}}
	inj.Spec.Revision = revision
	for _, edit := range edits {
		edit(&inj.Spec)
	}
	v1alpha1.SetDefaults(&inj)
	return inj
}

// setOf compiles injectors as an operator does.
func setOf(t testing.TB, injectors ...v1alpha1.Injector) *inject.Set {
	t.Helper()
	var programs []*inject.Program
	for i := range injectors {
		p, err := inject.Compile(&injectors[i], operator())
		if err != nil {
			t.Fatal(err)
		}
		programs = append(programs, p)
	}
	owned, _ := inject.Claims(injectors)
	return inject.NewSet(operator(), programs, owned)
}
