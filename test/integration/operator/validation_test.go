package operator

import (
	"errors"
	"slices"
	"strings"
	"testing"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/pillion-mesh/pillion/api/v1alpha1"
)

func (e *env) validation() (*admissionv1.ValidatingWebhookConfiguration, error) {
	c := &admissionv1.ValidatingWebhookConfiguration{}
	return c, e.Client.Get(e.Ctx(), key("pillion-injector-validation"), c)
}

// TestValidationIsKept: made, put back, and never with an empty caBundle.
func TestValidationIsKept(t *testing.T) {
	e := newEnv(t)
	e.Injector()
	e.Ready(e.Start("a"))
	e.Serving("default")
	var before *admissionv1.ValidatingWebhookConfiguration
	e.Eventually("it is there", func() (err error) {
		before, err = e.validation()
		return err
	})
	mutating, err := e.Configuration(defaultConfiguration)
	must(t, err)
	w := before.Webhooks[0]
	if string(w.ClientConfig.CABundle) != string(mutating.Webhooks[0].ClientConfig.CABundle) || *w.FailurePolicy != admissionv1.Ignore ||
		*w.TimeoutSeconds != 5 || *w.ClientConfig.Service.Path != "/validate/injector" || before.OwnerReferences[0].Kind != "CustomResourceDefinition" {
		t.Errorf("it is %+v", before)
	}
	for name, change := range map[string]func(*admissionv1.ValidatingWebhookConfiguration) error{
		"deleted": func(c *admissionv1.ValidatingWebhookConfiguration) error { return e.Client.Delete(e.Ctx(), c) },
		"caBundle": func(c *admissionv1.ValidatingWebhookConfiguration) error {
			c.Webhooks[0].ClientConfig.CABundle = nil
			return e.Client.Update(e.Ctx(), c)
		},
		"failurePolicy": func(c *admissionv1.ValidatingWebhookConfiguration) error {
			c.Webhooks[0].FailurePolicy = new(admissionv1.Fail)
			return e.Client.Update(e.Ctx(), c)
		},
	} {
		live, err := e.validation()
		must(t, err)
		must(t, change(live))
		e.Eventually(name+": put back", func() error {
			live, err := e.validation()
			if err == nil && !equality.Semantic.DeepEqual(live.Webhooks, before.Webhooks) {
				err = errors.New("it isn't as it was")
			}
			return err
		})
	}
}

// TestFaultyInjectorIsRefused asks through the API server, which here reaches the operator by a URL only.
func TestFaultyInjectorIsRefused(t *testing.T) {
	e := newEnv(t)
	e.Injector()
	e.Ready(e.Start("a"))
	e.Serving("default")
	var own *admissionv1.ValidatingWebhookConfiguration
	e.Eventually("the validating webhook is there", func() (err error) {
		own, err = e.validation()
		return err
	})
	reachable := &admissionv1.ValidatingWebhookConfiguration{ObjectMeta: metav1.ObjectMeta{Name: "reachable"}, Webhooks: own.DeepCopy().Webhooks}
	reachable.Webhooks[0].ClientConfig.Service, reachable.Webhooks[0].ClientConfig.URL = nil, new(e.Service.URL()+"/validate/injector")
	must(t, e.Client.Create(e.Ctx(), reachable))
	c, told := e.warned()

	faulty := &v1alpha1.Injector{ObjectMeta: metav1.ObjectMeta{Name: "faulty"}}
	faulty.Spec.Revision, faulty.Spec.DefaultTemplates, faulty.Spec.Templates = "faulty", []string{"mark"}, labelTemplate("${pod.nmae}")
	e.Eventually("it is refused", func() error { // webhooks take a moment to be known
		err := c.Create(e.Ctx(), faulty.DeepCopy(), client.DryRunAll)
		if !apierrors.IsInvalid(err) || !strings.Contains(err.Error(), `template "mark", line 3, column`) {
			return errorf("error %v", err)
		}
		return nil
	})
	var status *apierrors.StatusError
	if err := c.Create(e.Ctx(), faulty.DeepCopy(), client.DryRunAll); !errors.As(err, &status) || status.ErrStatus.Details == nil ||
		status.ErrStatus.Details.Causes[0].Field != "spec.templates[0].inline" {
		t.Errorf("the refusal doesn't say which field: %v", err)
	}
	unlisted := &v1alpha1.Injector{ObjectMeta: metav1.ObjectMeta{Name: "unlisted"}}
	unlisted.Spec.Revision, unlisted.Spec.Capture.ExcludeOutboundPorts = "unlisted", "80,x"
	if err := c.Create(e.Ctx(), unlisted, client.DryRunAll); !apierrors.IsInvalid(err) || !strings.Contains(err.Error(), `"x" is not a port`) {
		t.Errorf("what only the operator can judge: %v", err)
	}

	told.take()
	early := &v1alpha1.Injector{ObjectMeta: metav1.ObjectMeta{Name: "early"}}
	fromTexts(early)
	early.Spec.Revision = "early"
	must(t, c.Create(e.Ctx(), early, client.DryRunAll))
	if seen := told.take(); !slices.ContainsFunc(seen, func(w string) bool { return strings.Contains(w, "texts doesn't exist") }) {
		t.Errorf("warnings %q say nothing of the ConfigMap that isn't there", seen)
	}
}
