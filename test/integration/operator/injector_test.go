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
	e.Injector(func(i *v1alpha1.Injector) {
		i.Spec.DefaultTemplates, i.Spec.Templates = []string{"sidecar", "mark"}, labelTemplate("one")
	})
	r := e.Start("a")
	e.Ready(r)
	e.Serving("default")
	meshed := e.Meshed()
	marked := func(want string) {
		t.Helper()
		if made := e.Injected(meshed); made.Labels["mark"] != want {
			t.Errorf("label mark is %q, want %q", made.Labels["mark"], want)
		}
	}
	marked("one")

	e.UpdateInjector("default", func(i *v1alpha1.Injector) { i.Spec.Templates = labelTemplate(`${pod.nmae}`) })
	inj := e.Condition("default", v1alpha1.ConditionTemplatesReady, metav1.ConditionFalse, "CompileError")
	e.Event("CompileError", `template "mark"`, "line 3")
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

	r.Kill()
	e.DropLease()
	r = e.Start("b")
	e.Ready(r)
	e.Condition("default", v1alpha1.ConditionTemplatesReady, metav1.ConditionFalse, "CompileError")
	marked("one") // a process that never saw the good one

	e.UpdateInjector("default", func(i *v1alpha1.Injector) { i.Spec.Templates = labelTemplate("two") })
	e.Condition("default", v1alpha1.ConditionTemplatesReady, metav1.ConditionTrue, "Compiled")
	e.Eventually("the repaired template is in use", func() error {
		made, err := e.Create(e.Ctx(), pod(meshed))
		if err == nil && made.Labels["mark"] != "two" {
			err = errorf("label mark is %q", made.Labels["mark"])
		}
		return err
	})
}

func TestInjectorThatNeverCompiledStandsInNobodysWay(t *testing.T) {
	e := newEnv(t)
	e.Injector(func(i *v1alpha1.Injector) {
		i.Spec.DefaultTemplates, i.Spec.Templates = []string{"mark"}, labelTemplate(`${`)
	})
	r := e.Start("a")
	e.Condition("default", v1alpha1.ConditionTemplatesReady, metav1.ConditionFalse, "CompileError")
	e.Condition("default", v1alpha1.ConditionWebhooksReady, metav1.ConditionFalse, "Pending")
	if _, err := e.Configuration(defaultConfiguration); !apierrors.IsNotFound(err) {
		t.Errorf("its webhook configuration exists (%v), so pods of its namespaces can't be created", err)
	}
	e.Eventually("readyz says why not", func() error {
		err := r.Get(e.Ctx(), "/readyz")
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
		{"mode", func(i *v1alpha1.Injector) { i.Spec.Capture.Mode = "CNI" }, "spec.capture.mode"},
	} {
		inj := &v1alpha1.Injector{ObjectMeta: metav1.ObjectMeta{Name: "bad"}}
		c.change(inj)
		err := e.Client.Create(e.Ctx(), inj, client.DryRunAll)
		if !apierrors.IsInvalid(err) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want Invalid with %q", c.name, err, c.want)
		}
	}
	inj := e.Injector(func(i *v1alpha1.Injector) { i.Name, i.Spec.Revision = "canary", "canary" })
	inj.Spec.Revision = "other"
	if err := e.Client.Update(e.Ctx(), inj); err == nil || !strings.Contains(err.Error(), "make another Injector") {
		t.Errorf("changing the revision: %v", err)
	}
}

func TestInvalidSpecAndTakenNameAreSaid(t *testing.T) {
	e := newEnv(t)
	e.Injector()
	e.Ready(e.Start("a"))
	e.Serving("default")
	e.UpdateInjector("default", func(i *v1alpha1.Injector) { i.Spec.Capture.ExcludeOutboundPorts = "80,x" })
	e.Condition("default", v1alpha1.ConditionAccepted, metav1.ConditionFalse, "Invalid")
	e.Injected(e.Meshed()) // with the last good one

	e.Injector(func(i *v1alpha1.Injector) { i.Name = "younger" })
	e.Condition("younger", v1alpha1.ConditionAccepted, metav1.ConditionFalse, "NameTaken")
	e.Event("NameTaken", `name "default" belongs to the older Injector "default"`)
}

func TestDefaultInjectorIsMadeOnce(t *testing.T) {
	e := newEnv(t)
	inj := &v1alpha1.Injector{}
	key := client.ObjectKey{Name: "default"}
	r := e.Start("a", "--create-default-injector")
	e.Eventually("the Injector is made", func() error { return e.Client.Get(e.Ctx(), key, inj) })
	e.Ready(r)
	e.Condition("default", v1alpha1.ConditionWebhooksReady, metav1.ConditionTrue, "Applied")

	must(t, e.Client.Delete(e.Ctx(), inj))
	r.Terminate()
	if code := r.Exited(t); code != 0 {
		t.Errorf("exit code %d after SIGTERM", code)
	}
	r = e.Start("b", "--create-default-injector")
	e.Ready(r)
	lease := client.ObjectKey{Namespace: e.Namespace, Name: "pillion"}
	e.Eventually("it leads", func() error { return e.Leads(lease, r) })
	e.Eventually("it has looked", func() error { // the leader's other work is done when the orphan's configuration is gone
		_, err := e.Configuration(defaultConfiguration)
		if apierrors.IsNotFound(err) {
			return nil
		}
		return errorf("configuration: %v", err)
	})
	if err := e.Client.Get(e.Ctx(), key, inj); !apierrors.IsNotFound(err) {
		t.Errorf("an Injector that was deleted on purpose came back (%v)", err)
	}
	var state corev1.ConfigMap
	must(t, e.Client.Get(e.Ctx(), client.ObjectKey{Namespace: e.Namespace, Name: "pillion-state"}, &state))
}

// TestInstallingAgainMakesTheDefaultInjectorAgain: what the operator remembers isn't deleted with the CRD.
func TestInstallingAgainMakesTheDefaultInjectorAgain(t *testing.T) {
	e := newEnv(t)
	key := client.ObjectKey{Name: "default"}
	e.Ready(e.Start("a", "--create-default-injector"))
	e.Eventually("the Injector is made", func() error { return e.Client.Get(e.Ctx(), key, &v1alpha1.Injector{}) })
	var state corev1.ConfigMap
	e.Eventually("that is remembered", func() error {
		return e.Client.Get(e.Ctx(), client.ObjectKey{Namespace: e.Namespace, Name: "pillion-state"}, &state)
	})

	crd := &apiextensionsv1.CustomResourceDefinition{ObjectMeta: metav1.ObjectMeta{Name: "injectors.pillion.dev"}}
	must(t, e.Client.Delete(e.Ctx(), crd))
	e.Eventually("the CRD is gone", func() error {
		if err := e.Client.Get(e.Ctx(), client.ObjectKeyFromObject(crd), crd); !apierrors.IsNotFound(err) {
			return errorf("it is there: %v", err)
		}
		return nil
	})
	e.InstallCRD()
	e.Eventually("the Injector is made again", func() error { return e.Client.Get(e.Ctx(), key, &v1alpha1.Injector{}) })
}

func TestReplicasWithoutAnyInjectorAreReady(t *testing.T) {
	e := newEnv(t)
	a, b := e.Start("a"), e.Start("b") // one of them doesn't lead
	e.Ready(a, b)
}
