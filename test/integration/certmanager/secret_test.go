package certmanager

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/pillion-mesh/pillion/internal/controller/servingcert/pairs"
)

func (e *env) secret(name string) *corev1.Secret {
	e.Helper()
	s := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: e.namespace, Name: name}, Data: map[string][]byte{pairs.KeyCertificate: []byte("garbage")}}
	must(e.T, e.admin.Create(e.Context(), s))
	return s
}

// Of the Secrets with pairs the operator may read those that its Role names; the status says what to do about others.
func TestSecretsThatTheRoleNames(t *testing.T) {
	e := newEnv(t).withRole()
	for name, want := range map[string][2]string{
		"pillion-serving-tls": {pairs.Missing, "doesn't exist"},
		"pillion-serving":     {pairs.Unparsable, "key tls.crt: has no PEM block"},
		"mine":                {pairs.Forbidden, `add "mine" to the resourceNames of Secrets (get, list, watch) in Role ` + e.namespace + "/pillion-operator"},
	} {
		if want[0] != pairs.Missing {
			e.secret(name)
		}
		e.eventually("Secret "+name+" is "+want[0], func() (bool, string) {
			_, err := pairs.Read(t.Context(), e.operator, client.ObjectKey{Namespace: e.namespace, Name: name}, nil, time.Now())
			var r *pairs.Refused
			return errors.As(err, &r) && r.Reason == want[0] && strings.Contains(r.Message, want[1]), errorText(err)
		})
	}
}

// Each named Secret is watched by itself, under the same Role; which ones may change.
func TestWatchesOfSingleSecrets(t *testing.T) {
	e := newEnv(t).withRole()
	api, err := kubernetes.NewForConfig(e.config)
	must(t, err)
	changes := make(chan struct{}, 100)
	w := &pairs.Watches{Client: api, Namespace: e.namespace, Log: logr.Discard(), Changed: func() { changes <- struct{}{} }}
	defer w.Stop()
	changed := func(what string) {
		t.Helper()
		select {
		case <-changes:
		case <-time.After(patience):
			t.Fatalf("no word of %s", what)
		}
	}
	w.Keep(t.Context(), "mine", "", "pillion-serving", "pillion-serving-tls") // mine is forbidden and holds up nothing
	s := e.secret("pillion-serving")
	changed("a new Secret")
	s.Data[pairs.KeyPrivate] = []byte("more garbage")
	must(t, e.admin.Update(t.Context(), s))
	changed("a change")
	must(t, e.admin.Delete(t.Context(), s))
	changed("a deletion")
	w.Keep(t.Context(), "pillion-serving-tls")
	e.secret("pillion-serving")
	e.secret("pillion-serving-tls")
	changed("the other Secret")
	w.Stop()
	if n := len(changes); n > 0 {
		t.Errorf("%d changes of a Secret that isn't watched any more", n)
	}
}
