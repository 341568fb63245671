package certmanager

import (
	"bytes"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/yaml"

	"github.com/pillion-mesh/pillion/api/v1alpha1"
)

var update = flag.Bool("update", false, "rewrite testdata")

func want(change ...func(*Want)) Want {
	w := Want{Namespace: "pillion-system", Service: "pillion", DNSNames: []string{"pillion.pillion-system.svc", "pillion-probe.pillion-system.svc", "pillion.pillion-system.svc"},
		Addresses: []string{"10.0.0.1"}, Duration: metav1.Duration{Duration: 720 * time.Hour}}
	for _, c := range change {
		c(&w)
	}
	return w
}

func issuer(ref v1alpha1.IssuerRef) func(*Want) { return func(w *Want) { w.IssuerRef = &ref } }

func TestObjects(t *testing.T) {
	for name, w := range map[string]Want{
		"own":           want(),
		"clusterissuer": want(issuer(v1alpha1.IssuerRef{Name: "mesh-ca", Kind: "ClusterIssuer"})),
		"long":          want(func(w *Want) { w.Duration.Duration, w.SecretName = 10000*time.Hour, "mine" }),
	} {
		t.Run(name, func(t *testing.T) {
			objects, err := w.objects()
			if err != nil {
				t.Fatal(err)
			}
			var text bytes.Buffer
			for _, o := range objects {
				part, err := yaml.Marshal(o.Object)
				if err != nil {
					t.Fatal(err)
				}
				text.WriteString("---\n")
				text.Write(part)
			}
			file := filepath.Join("testdata", name+".yaml")
			if *update {
				if err := os.WriteFile(file, text.Bytes(), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			if golden, err := os.ReadFile(file); err != nil || !bytes.Equal(golden, text.Bytes()) {
				t.Errorf("not as in %s (%v):\n%s", file, err, text.Bytes())
			}
		})
	}
}

func TestCovers(t *testing.T) {
	type m = map[string]any
	type l = []any
	for _, test := range []struct {
		name       string
		live, want any
		covers     bool
	}{
		{"same", m{"a": int64(1), "b": l{"x"}}, m{"a": int64(1), "b": l{"x"}}, true},
		{"more in it", m{"a": m{"b": "c", "d": "e"}, "f": "g"}, m{"a": m{"b": "c"}}, true},
		{"absent", m{}, m{"a": "b"}, false},
		{"another value", m{"a": "c"}, m{"a": "b"}, false},
		{"another type", m{"a": l{"b"}}, m{"a": "b"}, false},
		{"a map for a list", m{"a": m{}}, m{"a": l{}}, false},
		{"a list for a map", m{"a": l{}}, m{"a": m{}}, false},
		{"nothing wanted, nothing there", m{}, m{"a": m{}}, false},
		{"more in a list", m{"a": l{"b", "c"}}, m{"a": l{"b"}}, false},
		{"another order", m{"a": l{"c", "b"}}, m{"a": l{"b", "c"}}, false},
		{"maps in a list", m{"a": l{m{"b": "c", "d": "e"}}}, m{"a": l{m{"b": "c"}}}, true},
		{"nothing", nil, m{"a": "b"}, false},
	} {
		if got := covers(test.live, test.want); got != test.covers {
			t.Errorf("%s: %v", test.name, got)
		}
	}
}

// What the user has to see to is a state; what may pass by itself stays an error.
func TestExplain(t *testing.T) {
	kind := schema.GroupResource{Group: group, Resource: "certificates"}
	object := &unstructured.Unstructured{Object: map[string]any{"kind": "Certificate", "metadata": map[string]any{"namespace": "ns", "name": "a"}}}
	denied := apierrors.NewGenericServerResponse(406, "patch", kind, "a", "admission webhook denied it: spec.duration", 0, true)
	for _, test := range []struct {
		err    error
		reason string
		says   string
	}{
		{errNoKind, CertManagerMissing, "install cert-manager"},
		{errNotOurs, NotOurs, "Certificate ns/a: it is there but isn't ours"},
		{apierrors.NewForbidden(kind, "a", errors.New("no")), Forbidden, "Role pillion-system/pillion-operator has to allow get, create and patch"},
		{denied, Rejected, "admission webhook denied it: spec.duration"},
		{apierrors.NewInvalid(schema.GroupKind{Group: group, Kind: "Certificate"}, "a", nil), Rejected, "Certificate ns/a: it isn't accepted"},
		{apierrors.NewInternalError(errors.New("failed calling webhook")), "", "keeping Certificate ns/a: Internal error"},
		{apierrors.NewNotFound(schema.GroupResource{Resource: "namespaces"}, "ns"), "", `namespaces "ns" not found`},
	} {
		state, err := want().explain(object, test.err)
		if state.Ready || state.Reason != test.reason || (err == nil) != (test.reason != "") {
			t.Errorf("%v: %+v, %v", test.err, state, err)
		}
		if said := state.Message + errorText(err); !strings.Contains(said, test.says) {
			t.Errorf("%v: says %q", test.err, said)
		}
	}
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// A missing kind shows in an apply as "not found", and so does a missing namespace.
func TestUnknown(t *testing.T) {
	for _, test := range []struct {
		err     error
		unknown bool
	}{
		{nil, false},
		{apierrors.NewGenericServerResponse(404, "patch", schema.GroupResource{}, "", "404 page not found", 0, true), true},
		{apierrors.NewNotFound(schema.GroupResource{Resource: "namespaces"}, "ns"), false},
		{errors.New("connection refused"), false},
	} {
		if unknown(test.err) != test.unknown {
			t.Errorf("%v", test.err)
		}
	}
}

func TestCutKeepsWholeCharacters(t *testing.T) {
	if got := cut(strings.Repeat("x", 1999) + "é" + "more"); got != strings.Repeat("x", 1999)+"…" {
		t.Errorf("%q", got[1990:])
	}
	if got := cut("short"); got != "short" {
		t.Error(got)
	}
}
