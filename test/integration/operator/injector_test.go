package operator

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/pillion-mesh/pillion/api/v1alpha1"
)

func labelTemplate(value string) []v1alpha1.Template {
	return []v1alpha1.Template{{Name: "mark", Inline: "metadata:\n  labels:\n    mark: " + value + "\n"}}
}

func TestBrokenTemplateKeepsTheLastGoodOne(t *testing.T) {
	e := newEnv(t)
	e.injector(func(i *v1alpha1.Injector) {
		i.Spec.DefaultTemplates, i.Spec.Templates = []string{"sidecar", "mark"}, labelTemplate("one")
	})
	r := e.start("a")
	e.ready(r)
	e.serving("default")
	meshed := e.meshed()
	marked := func(want string) {
		t.Helper()
		if made := e.injected(meshed); made.Labels["mark"] != want {
			t.Errorf("label mark is %q, want %q", made.Labels["mark"], want)
		}
	}
	marked("one")

	e.updateInjector("default", func(i *v1alpha1.Injector) { i.Spec.Templates = labelTemplate(`${pod.nmae}`) })
	inj := e.condition("default", v1alpha1.ConditionTemplatesReady, metav1.ConditionFalse, "CompileError")
	e.event("CompileError", `template "mark"`, "line 3")
	for _, template := range inj.Status.Templates {
		broken := template.Name == "mark"
		if template.Ready == broken || template.UsingPrevious != broken || (len(template.Errors) > 0) != broken {
			t.Errorf("status of template %s: %+v", template.Name, template)
		}
		if broken && (template.Errors[0].Line != 3 || template.Errors[0].Column == 0) {
			t.Errorf("the fault isn't where it is: %+v", template.Errors)
		}
	}
	marked("one")

	r.kill()
	e.dropLease()
	r = e.start("b")
	e.ready(r)
	e.condition("default", v1alpha1.ConditionTemplatesReady, metav1.ConditionFalse, "CompileError")
	marked("one") // a process that never saw the good one

	e.updateInjector("default", func(i *v1alpha1.Injector) { i.Spec.Templates = labelTemplate("two") })
	e.condition("default", v1alpha1.ConditionTemplatesReady, metav1.ConditionTrue, "Compiled")
	e.eventually("the repaired template is in use", func() error {
		made, err := e.create(e.ctx(), pod(meshed))
		if err == nil && made.Labels["mark"] != "two" {
			err = errorf("label mark is %q", made.Labels["mark"])
		}
		return err
	})
}

func TestInjectorThatNeverCompiledStandsInNobodysWay(t *testing.T) {
	e := newEnv(t)
	e.injector(func(i *v1alpha1.Injector) {
		i.Spec.DefaultTemplates, i.Spec.Templates = []string{"mark"}, labelTemplate(`${`)
	})
	r := e.start("a")
	e.condition("default", v1alpha1.ConditionTemplatesReady, metav1.ConditionFalse, "CompileError")
	e.condition("default", v1alpha1.ConditionWebhooksReady, metav1.ConditionFalse, "Pending")
	if _, err := e.configuration(defaultConfiguration); !apierrors.IsNotFound(err) {
		t.Errorf("its webhook configuration exists (%v), so pods of its namespaces can't be created", err)
	}
	e.eventually("readyz says why not", func() error {
		err := r.get(e.ctx(), "/readyz")
		if err == nil || !strings.Contains(err.Error(), "no Injector's templates compile") {
			return errorf("it says %v", err)
		}
		return nil
	})
}

func TestBadInjectorsAreRefused(t *testing.T) {
	e := newEnv(t)
	long := strings.Repeat("x", 64)
	for _, c := range []struct {
		name   string
		change func(*v1alpha1.Injector)
		want   string
	}{
		{"name", func(i *v1alpha1.Injector) { i.Name = long }, "want at most 63 characters"},
		{"default revision that isn't default", func(i *v1alpha1.Injector) { i.Spec.IsDefault = new(false) }, "remove isDefault or choose another revision"},
		{"OptOut elsewhere", func(i *v1alpha1.Injector) { i.Spec.Revision, i.Spec.Policy = "canary", v1alpha1.PolicyOptOut }, "OptOut works in the default Injector only"},
		{"revision", func(i *v1alpha1.Injector) { i.Spec.Revision = "Not_A_Label" }, "spec.revision"},
		{"policy", func(i *v1alpha1.Injector) { i.Spec.Policy = "Sometimes" }, "spec.policy"},
		{"timeout", func(i *v1alpha1.Injector) { i.Spec.Webhook.TimeoutSeconds = 31 }, "less than or equal to 30"},
		{"failure policy", func(i *v1alpha1.Injector) { i.Spec.Webhook.FailurePolicy = "Maybe" }, "spec.webhook.failurePolicy"},
		{"url", func(i *v1alpha1.Injector) { i.Spec.Webhook.URL = "http://127.0.0.1/" }, "spec.webhook.url"},
		{"uid", func(i *v1alpha1.Injector) { i.Spec.Proxy.UID = -1 }, "spec.proxy.uid"},
		{"two templates of a name", func(i *v1alpha1.Injector) { i.Spec.Templates = append(labelTemplate("a"), labelTemplate("b")...) }, "Duplicate value"},
		{"nine default templates", func(i *v1alpha1.Injector) { i.Spec.DefaultTemplates = strings.Split("a b c d e f g h i", " ") }, "must have at most 8 items"},
		{"mode", func(i *v1alpha1.Injector) { i.Spec.Capture.Mode = "TPROXY" }, "spec.capture.mode"},
	} {
		inj := &v1alpha1.Injector{ObjectMeta: metav1.ObjectMeta{Name: "bad"}}
		c.change(inj)
		err := e.client.Create(e.ctx(), inj, client.DryRunAll)
		if !apierrors.IsInvalid(err) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want Invalid with %q", c.name, err, c.want)
		}
	}
	inj := e.injector(func(i *v1alpha1.Injector) { i.Name, i.Spec.Revision = "canary", "canary" })
	inj.Spec.Revision = "other"
	if err := e.client.Update(e.ctx(), inj); err == nil || !strings.Contains(err.Error(), "make another Injector") {
		t.Errorf("changing the revision: %v", err)
	}
}

func TestInvalidSpecAndTakenNameAreSaid(t *testing.T) {
	e := newEnv(t)
	e.injector()
	e.ready(e.start("a"))
	e.serving("default")
	e.updateInjector("default", func(i *v1alpha1.Injector) { i.Spec.Capture.ExcludeOutboundPorts = "80,x" })
	e.condition("default", v1alpha1.ConditionAccepted, metav1.ConditionFalse, "Invalid")
	e.injected(e.meshed()) // with the last good one

	e.injector(func(i *v1alpha1.Injector) { i.Name = "younger" })
	e.condition("younger", v1alpha1.ConditionAccepted, metav1.ConditionFalse, "NameTaken")
	e.event("NameTaken", `name "default" belongs to the older Injector "default"`)
}

func TestDefaultInjectorIsMadeOnce(t *testing.T) {
	e := newEnv(t)
	inj := &v1alpha1.Injector{}
	key := client.ObjectKey{Name: "default"}
	r := e.start("a", "--create-default-injector")
	e.eventually("the Injector is made", func() error { return e.client.Get(e.ctx(), key, inj) })
	e.ready(r)
	e.condition("default", v1alpha1.ConditionWebhooksReady, metav1.ConditionTrue, "Applied")

	must(t, e.client.Delete(e.ctx(), inj))
	r.terminate()
	if code := r.exited(t); code != 0 {
		t.Errorf("exit code %d after SIGTERM", code)
	}
	r = e.start("b", "--create-default-injector")
	e.ready(r)
	lease := client.ObjectKey{Namespace: e.namespace, Name: "pillion"}
	e.eventually("it leads", func() error { return e.leads(lease, r) })
	e.eventually("it has looked", func() error { // the leader's other work is done when the orphan's configuration is gone
		_, err := e.configuration(defaultConfiguration)
		if apierrors.IsNotFound(err) {
			return nil
		}
		return errorf("configuration: %v", err)
	})
	if err := e.client.Get(e.ctx(), key, inj); !apierrors.IsNotFound(err) {
		t.Errorf("an Injector that was deleted on purpose came back (%v)", err)
	}
	var state corev1.ConfigMap
	must(t, e.client.Get(e.ctx(), client.ObjectKey{Namespace: e.namespace, Name: "pillion-state"}, &state))
}

// TestInstallingAgainMakesTheDefaultInjectorAgain: what the operator remembers isn't deleted with the CRD.
func TestInstallingAgainMakesTheDefaultInjectorAgain(t *testing.T) {
	e := newEnv(t)
	key := client.ObjectKey{Name: "default"}
	e.ready(e.start("a", "--create-default-injector"))
	e.eventually("the Injector is made", func() error { return e.client.Get(e.ctx(), key, &v1alpha1.Injector{}) })
	var state corev1.ConfigMap
	e.eventually("that is remembered", func() error {
		return e.client.Get(e.ctx(), client.ObjectKey{Namespace: e.namespace, Name: "pillion-state"}, &state)
	})

	crd := &apiextensionsv1.CustomResourceDefinition{ObjectMeta: metav1.ObjectMeta{Name: "injectors.pillion.dev"}}
	must(t, e.client.Delete(e.ctx(), crd))
	e.eventually("the CRD is gone", func() error {
		if err := e.client.Get(e.ctx(), client.ObjectKeyFromObject(crd), crd); !apierrors.IsNotFound(err) {
			return errorf("it is there: %v", err)
		}
		return nil
	})
	e.installCRD()
	e.eventually("the Injector is made again", func() error { return e.client.Get(e.ctx(), key, &v1alpha1.Injector{}) })
}

func TestReplicasWithoutAnyInjectorAreReady(t *testing.T) {
	e := newEnv(t)
	a, b := e.start("a"), e.start("b") // one of them doesn't lead
	e.ready(a, b)
}
