package operatortest

import (
	"fmt"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/pillion-mesh/pillion/api/v1alpha1"
)

// Injector makes one, by default of the default revision, that the API server reaches through the relay.
func (e *Env) Injector(change ...func(*v1alpha1.Injector)) *v1alpha1.Injector {
	e.T.Helper()
	inj := &v1alpha1.Injector{ObjectMeta: metav1.ObjectMeta{Name: "default"},
		Spec: v1alpha1.InjectorSpec{Webhook: v1alpha1.Webhook{URL: e.Service.URL()}}}
	for _, c := range change {
		c(inj)
	}
	Must(e.T, e.Client.Create(e.Ctx(), inj))
	return inj
}

// UpdateInjector changes one, again if somebody else did so meanwhile.
func (e *Env) UpdateInjector(name string, change func(*v1alpha1.Injector)) {
	e.T.Helper()
	e.Eventually("update Injector "+name, func() error {
		inj := &v1alpha1.Injector{}
		if err := e.Client.Get(e.Ctx(), client.ObjectKey{Name: name}, inj); err != nil {
			return err
		}
		change(inj)
		return e.Client.Update(e.Ctx(), inj)
	})
}

// Condition waits until an Injector's present version has a condition with this status and reason.
func (e *Env) Condition(name, kind string, status metav1.ConditionStatus, reason string) *v1alpha1.Injector {
	e.T.Helper()
	inj := &v1alpha1.Injector{}
	e.Eventually(fmt.Sprintf("%s of Injector %s is %s because of %s", kind, name, status, reason), func() error {
		if err := e.Client.Get(e.Ctx(), client.ObjectKey{Name: name}, inj); err != nil {
			return err
		}
		c := meta.FindStatusCondition(inj.Status.Conditions, kind)
		if c == nil || c.Status != status || c.Reason != reason || c.ObservedGeneration != inj.Generation {
			return fmt.Errorf("it is %+v at generation %d", c, inj.Generation)
		}
		return nil
	})
	return inj
}

// Serving waits until an Injector's pods can be injected.
func (e *Env) Serving(name string) {
	e.T.Helper()
	e.Condition(name, v1alpha1.ConditionWebhooksReady, metav1.ConditionTrue, "Applied")
	e.Condition(name, v1alpha1.ConditionCertificatesReady, metav1.ConditionTrue, "Trusted")
}

// Configuration reads a webhook configuration.
func (e *Env) Configuration(name string) (*admissionv1.MutatingWebhookConfiguration, error) {
	c := &admissionv1.MutatingWebhookConfiguration{}
	return c, e.Client.Get(e.Ctx(), client.ObjectKey{Name: name}, c)
}
