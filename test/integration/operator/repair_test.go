package operator

import (
	"fmt"
	"testing"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/pillion-mesh/pillion/api/v1alpha1"
)

const defaultConfiguration = "pillion-injector-default"

// change is one thing somebody does to our webhook configuration.
type change struct {
	name  string
	do    func(*admissionv1.MutatingWebhookConfiguration)
	event []string // its reason, then words of it. Who removes a field leaves no trace in managedFields
}

var changes = []change{
	{"failurePolicy", func(c *admissionv1.MutatingWebhookConfiguration) {
		c.Webhooks[0].FailurePolicy = new(admissionv1.Ignore)
	},
		[]string{"WebhookRepaired", "failurePolicy of rev.namespace.injector.pillion.dev", "gardener"}},
	{"selector", func(c *admissionv1.MutatingWebhookConfiguration) {
		c.Webhooks[2].NamespaceSelector = &metav1.LabelSelector{MatchLabels: map[string]string{"a": "b"}}
	}, []string{"WebhookRepaired", "namespaceSelector of namespace.injector.pillion.dev", "gardener"}},
	{"empty caBundle", func(c *admissionv1.MutatingWebhookConfiguration) { c.Webhooks[1].ClientConfig.CABundle = nil },
		[]string{"BundleRepaired", "caBundle of rev.object.injector.pillion.dev"}},
	{"entry removed", func(c *admissionv1.MutatingWebhookConfiguration) { c.Webhooks = c.Webhooks[1:] },
		[]string{"WebhookRepaired", "entry of rev.namespace.injector.pillion.dev"}},
	{"entry added", func(c *admissionv1.MutatingWebhookConfiguration) {
		more := *c.Webhooks[0].DeepCopy()
		more.Name = "more.injector.pillion.dev"
		c.Webhooks = append(c.Webhooks, more)
	}, []string{"WebhookRepaired", "entry of more.injector.pillion.dev", "gardener"}},
	{"match condition added", func(c *admissionv1.MutatingWebhookConfiguration) {
		c.Webhooks[3].MatchConditions = append(c.Webhooks[3].MatchConditions, admissionv1.MatchCondition{Name: "never", Expression: "false"})
	}, []string{"WebhookRepaired", "matchConditions of object.injector.pillion.dev", "gardener"}},
	{"label removed", func(c *admissionv1.MutatingWebhookConfiguration) { delete(c.Labels, "pillion.dev/injector") }, []string{"WebhookRepaired", "labels"}},
}

// moreChanges are apart, since ten repairs a minute are a contest.
var moreChanges = []change{
	{"caBundle of another", func(c *admissionv1.MutatingWebhookConfiguration) {
		c.Webhooks[3].ClientConfig.CABundle = c.Webhooks[3].ClientConfig.CABundle[:len(c.Webhooks[3].ClientConfig.CABundle)/2]
	}, []string{"BundleRepaired", "caBundle of object.injector.pillion.dev", "gardener"}},
	{"rules", func(c *admissionv1.MutatingWebhookConfiguration) {
		c.Webhooks[1].Rules[0].Operations = append(c.Webhooks[1].Rules[0].Operations, admissionv1.Update)
	}, []string{"WebhookRepaired", "rules of rev.object.injector.pillion.dev", "gardener"}},
	{"timeout", func(c *admissionv1.MutatingWebhookConfiguration) { c.Webhooks[2].TimeoutSeconds = new(int32(29)) },
		[]string{"WebhookRepaired", "timeoutSeconds of namespace.injector.pillion.dev", "gardener"}},
	{"objectSelector", func(c *admissionv1.MutatingWebhookConfiguration) { c.Webhooks[0].ObjectSelector = nil },
		[]string{"WebhookRepaired", "objectSelector of rev.namespace.injector.pillion.dev"}},
	{"match conditions removed", func(c *admissionv1.MutatingWebhookConfiguration) { c.Webhooks[1].MatchConditions = nil },
		[]string{"WebhookRepaired", "matchConditions of rev.object.injector.pillion.dev"}},
	{"path", func(c *admissionv1.MutatingWebhookConfiguration) {
		c.Webhooks[2].ClientConfig.URL = new(*c.Webhooks[2].ClientConfig.URL + "x")
	}, []string{"WebhookRepaired", "clientConfig of namespace.injector.pillion.dev", "gardener"}},
}

func TestWebhookConfigurationIsPutBack(t *testing.T) {
	for name, table := range map[string][]change{"some": changes, "more": moreChanges} {
		t.Run(name, func(t *testing.T) { putBack(t, table) })
	}
}

func putBack(t *testing.T, changes []change) {
	e := newEnv(t)
	e.Injector()
	r := e.Start("a")
	e.Ready(r)
	e.Serving("default")
	before, err := e.Configuration(defaultConfiguration)
	must(t, err)
	for _, c := range changes {
		e.Eventually(c.name+": written by somebody else", func() error {
			live, err := e.Configuration(defaultConfiguration)
			if err != nil {
				return err
			}
			c.do(live)
			return e.Client.Update(e.Ctx(), live, client.FieldOwner("gardener"))
		})
		e.same(c.name, before)
		e.Event(c.event[0], c.event[1:]...)
		if t.Failed() {
			return
		}
	}
}

func TestDeletedWebhookConfigurationComesBack(t *testing.T) {
	e := newEnv(t)
	e.Injector()
	r := e.Start("a")
	e.Ready(r)
	e.Serving("default")
	before, err := e.Configuration(defaultConfiguration)
	must(t, err)
	must(t, e.Client.Delete(e.Ctx(), before.DeepCopy()))
	e.same("deleted", before)
	e.Event("WebhookRepaired", defaultConfiguration, "somebody had deleted it")
	if value, err := r.Metric(e.Ctx(), `pillion_webhook_repairs_total{configuration="pillion-injector-default",field="object"}`); err != nil || value != "1" {
		t.Errorf("pillion_webhook_repairs_total is %q, want 1 (%v)", value, err)
	}
}

func TestContestedConfigurationIsLeftForAMinute(t *testing.T) {
	e := newEnv(t)
	e.Injector()
	e.Ready(e.Start("a"))
	e.Serving("default")
	e.Eventually("somebody who doesn't give up is noticed", func() error {
		live, err := e.Configuration(defaultConfiguration)
		if err != nil {
			return err
		}
		live.Webhooks[0].TimeoutSeconds = new(int32(29))
		if err := e.Client.Update(e.Ctx(), live, client.FieldOwner("stubborn")); err != nil {
			return err
		}
		inj := &v1alpha1.Injector{}
		if err := e.Client.Get(e.Ctx(), client.ObjectKey{Name: "default"}, inj); err != nil {
			return err
		}
		for _, c := range inj.Status.Conditions {
			if c.Type == v1alpha1.ConditionWebhooksReady && c.Reason == "Contested" && containsAll(c.Message, []string{"stubborn", "timeoutSeconds"}) {
				return nil
			}
		}
		return fmt.Errorf("conditions: %+v", inj.Status.Conditions)
	})
}

func TestUnclaimedConfigurationIsDeleted(t *testing.T) {
	e := newEnv(t)
	e.Injector()
	canary := e.Injector(canaryName)
	e.Ready(e.Start("a"))
	e.Serving("canary")
	must(t, e.Client.Delete(e.Ctx(), canary))
	e.gone("pillion-injector-canary")
	if _, err := e.Configuration(defaultConfiguration); err != nil {
		t.Errorf("the other Injector's went too: %v", err)
	}
}

func canaryName(i *v1alpha1.Injector) { i.Name, i.Spec.Revision = "canary", "canary" }

// gone waits until a configuration doesn't exist.
func (e *env) gone(name string) {
	e.T.Helper()
	e.Eventually(name+" is gone", func() error {
		if _, err := e.Configuration(name); client.IgnoreNotFound(err) != nil || err == nil {
			return fmt.Errorf("it is there (%v)", err) //nolint:errorlint // it may be nil
		}
		return nil
	})
}

// same waits until the live configuration means what it did before.
func (e *env) same(what string, before *admissionv1.MutatingWebhookConfiguration) {
	e.T.Helper()
	e.Eventually(what+": put back", func() error {
		live, err := e.Configuration(before.Name)
		if err != nil {
			return err
		}
		if !equality.Semantic.DeepEqual(live.Webhooks, before.Webhooks) || !equality.Semantic.DeepEqual(live.Labels, before.Labels) {
			return fmt.Errorf("it is %+v", live.Webhooks)
		}
		return nil
	})
}
