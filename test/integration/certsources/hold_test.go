package certsources

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	admissionv1 "k8s.io/api/admissionregistration/v1"

	"github.com/pillion-mesh/pillion/api/v1alpha1"
	"github.com/pillion-mesh/pillion/test/integration/operatortest"
)

// notReady waits until a replica says why.
func (e *env) notReady(r *operatortest.Replica, why string) {
	e.T.Helper()
	e.Eventually("replica "+r.Name+" isn't ready: "+why, func() error {
		err := r.Get(e.Ctx(), "/readyz")
		if err == nil {
			return errors.New("it is")
		}
		if !strings.Contains(err.Error(), why) {
			return err
		}
		return nil
	})
}

// testReplicaStartsDuringHold: it has nothing to serve but what nobody may serve yet, and leaves the calls to the others.
func testReplicaStartsDuringHold(t *testing.T) {
	e := newEnv(t, bare)
	slow := []string{settleEnv + "=15s"}
	first, second := newAuthority(t, "first"), newAuthority(t, "second")
	e.put(first.issue(e.Namespace))
	e.Injector(func(i *v1alpha1.Injector) { i.Spec.Certificates = provided(mine) })
	for _, name := range []string{"a", "b"} {
		e.replicas = append(e.replicas, e.Run(operatortest.Process{Name: name, Flags: e.flags(), Env: slow}))
	}
	e.Ready(e.replicas...)
	e.Serving("default")
	e.creating = e.StartCreating(e.Meshed())
	e.changed(v1alpha1.CertificatesProvided, first.fingerprint())

	e.put(second.issue(e.Namespace))
	e.Eventually("there is another CA", func() error {
		_, err := e.next()
		return err
	})
	late := e.Run(operatortest.Process{Name: "late", Flags: e.flags(), Env: slow})
	e.notReady(late, "API servers are still learning to trust it")
	must(t, e.Service.Only(e.replicas...))
	e.creating.More()
	e.Ready(late)
	e.replicas = append(e.replicas, late)
	e.changed(v1alpha1.CertificatesProvided, second.fingerprint())
	e.done()
}

// testReplicaStartsBeforeExternalBundle: the same where nobody but the user writes the bundle, who takes his time.
func testReplicaStartsBeforeExternalBundle(t *testing.T) {
	e := newEnv(t, bare)
	first, second := newAuthority(t, "first"), newAuthority(t, "second")
	old := first.issue(e.Namespace)
	e.put(old)
	e.Injector(external(provided(mine)))
	e.sync(first)
	e.run([]string{"a", "b"})
	e.Serving("default")
	e.creating = e.StartCreating(e.Meshed())
	e.changed(v1alpha1.CertificatesProvided, first.fingerprint())

	pair := e.put(second.issue(e.Namespace))
	late := e.Start("late", e.flags()...)
	e.notReady(late, "its caBundle doesn't verify our certificate")
	must(t, e.Service.Only(e.replicas...))
	e.creating.More()
	e.replicasServe(old)

	e.sync(first, second)
	e.Ready(late)
	e.replicas = append(e.replicas, late)
	e.serving(pair)
	e.changed(v1alpha1.CertificatesProvided, second.fingerprint())
	e.sync(second)
	e.creating.More()
	e.Serving("default")
	e.done()
}

// sync applies the chart with a caBundle of the user's.
func (e *env) sync(trusted ...*authority) {
	e.T.Helper()
	var bundle []byte
	for _, a := range trusted {
		bundle = fmt.Append(bundle, string(a.pem()))
	}
	must(e.T, e.Sync(e.Ctx(), e.Chart(func(c *admissionv1.MutatingWebhookConfiguration) {
		for i := range c.Webhooks {
			c.Webhooks[i].ClientConfig.CABundle = bundle
		}
	})))
}
