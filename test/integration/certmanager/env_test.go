// Package certmanager tests what the operator asks cert-manager for, and how it reads what others issue, against a real
// kube-apiserver with cert-manager's CRDs and under the operator's own Role. No cert-manager runs: the tests write what
// its controllers would.
package certmanager

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	cmv1 "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/pillion-mesh/pillion/internal/controller/certmanager"
	"github.com/pillion-mesh/pillion/test/cluster/testenv"
)

const patience = 30 * time.Second

// env is a namespace with the operator's Role in it.
type env struct {
	*testing.T
	cluster   *testenv.Cluster
	admin     client.Client
	operator  client.Client
	config    *rest.Config // the operator's
	namespace string
}

func newEnv(t *testing.T) *env {
	t.Helper()
	c := testenv.Start(t, testenv.Options{Name: "certmanager"})
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, apiextensionsv1.AddToScheme, certmanager.AddToScheme} {
		must(t, add(scheme))
	}
	admin, err := client.New(c.Config, client.Options{Scheme: scheme})
	must(t, err)
	e := &env{T: t, cluster: c, admin: admin, namespace: c.Namespace(t)}
	e.config = rest.CopyConfig(c.Config)
	e.config.Impersonate = rest.ImpersonationConfig{UserName: "system:serviceaccount:" + e.namespace + ":pillion", Groups: []string{"system:authenticated"}}
	e.operator, err = client.New(e.config, client.Options{Scheme: clientgoscheme.Scheme})
	must(t, err)
	return e
}

// withRole gives the operator what config/rbac does.
func (e *env) withRole() *env {
	e.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", "..", "config", "rbac", "role.yaml"))
	must(e.T, err)
	role := &rbacv1.Role{}
	must(e.T, yaml.UnmarshalStrict(text, role))
	if role.Name != certmanager.Role {
		e.Fatalf("Role %s is called %s in messages", role.Name, certmanager.Role)
	}
	role.Namespace = e.namespace
	must(e.T, e.admin.Create(e.Context(), role))
	must(e.T, e.admin.Create(e.Context(), &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Namespace: e.namespace, Name: role.Name},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: role.Name},
		Subjects:   []rbacv1.Subject{{Kind: rbacv1.UserKind, APIGroup: rbacv1.GroupName, Name: e.config.Impersonate.UserName}},
	}))
	return e
}

// withCRDs has cert-manager's kinds known to the API server, and to the operator's client.
func (e *env) withCRDs() *env {
	e.Helper()
	for _, kind := range kinds {
		e.installCRD(kind)
	}
	return e
}

var kinds = []string{"certificates", "issuers", "clusterissuers", "certificaterequests"}

func (e *env) installCRD(plural string) {
	e.Helper()
	crd := e.crd(plural)
	if err := e.admin.Create(e.Context(), crd); err != nil && !apierrors.IsAlreadyExists(err) {
		e.Fatal(err)
	}
	e.eventually("CRD "+plural+" is served", func() (bool, string) {
		_, err := e.cluster.Client.Discovery().RESTClient().Get().AbsPath("/apis/cert-manager.io/v1/" + plural).DoRaw(e.Context())
		return err == nil, errorText(err)
	})
}

// crd is the one of the module we are built with.
func (e *env) crd(plural string) *apiextensionsv1.CustomResourceDefinition {
	e.Helper()
	text, err := os.ReadFile(filepath.Join(moduleDir(e.T), "deploy", "crds", "cert-manager.io_"+plural+".yaml"))
	must(e.T, err)
	crd := &apiextensionsv1.CustomResourceDefinition{}
	must(e.T, yaml.UnmarshalStrict([]byte(strings.TrimPrefix(string(text), "---\n")), crd))
	return crd
}

func (e *env) removeCRDs() {
	e.Helper()
	for _, kind := range kinds {
		crd := e.crd(kind)
		must(e.T, client.IgnoreNotFound(e.admin.Delete(e.Context(), crd)))
		e.eventually("CRD "+kind+" is gone", func() (bool, string) {
			err := e.admin.Get(e.Context(), client.ObjectKeyFromObject(crd), crd)
			return apierrors.IsNotFound(err), errorText(err)
		})
	}
}

func (e *env) want() certmanager.Want {
	return certmanager.Want{Namespace: e.namespace, Service: "pillion", DNSNames: []string{"pillion." + e.namespace + ".svc", "pillion-probe." + e.namespace + ".svc"},
		Addresses: []string{"127.0.0.1"}, Duration: metav1.Duration{Duration: 720 * time.Hour}}
}

func (e *env) keep(w certmanager.Want) certmanager.State {
	e.Helper()
	ctx, cancel := context.WithTimeout(e.Context(), 10*time.Second)
	defer cancel()
	state, err := certmanager.Keep(ctx, e.operator, w)
	must(e.T, err)
	return state
}

// becomes waits until Keep gives that reason ("": ready) and a message with all of parts.
func (e *env) becomes(w certmanager.Want, reason string, parts ...string) {
	e.Helper()
	e.eventually("state is "+reason, func() (bool, string) {
		ctx, cancel := context.WithTimeout(e.Context(), 10*time.Second)
		defer cancel()
		state, err := certmanager.Keep(ctx, e.operator, w)
		if err != nil {
			return false, err.Error()
		}
		ok := state.Reason == reason && state.Ready == (reason == "")
		for _, part := range parts {
			ok = ok && strings.Contains(state.Message, part)
		}
		return ok, state.Reason + ": " + state.Message
	})
}

func (e *env) certificate(name string) *cmv1.Certificate {
	e.Helper()
	c := &cmv1.Certificate{}
	must(e.T, e.admin.Get(e.Context(), client.ObjectKey{Namespace: e.namespace, Name: name}, c))
	return c
}

func (e *env) exists(object client.Object, name string) bool {
	e.Helper()
	err := e.admin.Get(e.Context(), client.ObjectKey{Namespace: e.namespace, Name: name}, object)
	must(e.T, client.IgnoreNotFound(err))
	return err == nil
}

func (e *env) eventually(what string, test func() (bool, string)) {
	e.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(50 * time.Millisecond) {
		ok, seen := test()
		if ok {
			return
		}
		if time.Now().After(deadline) {
			e.Fatalf("waited %s until %s; last seen: %s", patience, what, seen)
		}
	}
}

func errorText(err error) string {
	if err == nil {
		return "no error"
	}
	return err.Error()
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
