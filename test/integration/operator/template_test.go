package operator

import (
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pillion-mesh/pillion/api/v1alpha1"
)

// texts is the ConfigMap a template comes from.
func (e *env) texts(value string) *corev1.ConfigMap {
	return &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: e.Namespace, Name: "texts"},
		Data: map[string]string{"mark.yaml": labelTemplate(value)[0].Inline}}
}

func fromTexts(i *v1alpha1.Injector) {
	i.Spec.DefaultTemplates = []string{"sidecar", "mark"}
	i.Spec.Templates = []v1alpha1.Template{{Name: "mark", ConfigMapRef: &v1alpha1.ConfigMapKey{Name: "texts", Key: "mark.yaml"}}}
}

// marked waits until pods of a namespace get a label from the template.
func (e *env) marked(namespace, want string) {
	e.T.Helper()
	e.Eventually("pods are labelled mark="+want, func() error {
		made, err := e.Create(e.Ctx(), pod(namespace))
		if err == nil && made.Labels["mark"] != want {
			err = errorf("label mark is %q", made.Labels["mark"])
		}
		return err
	})
}

func TestTemplateFromAConfigMap(t *testing.T) {
	e := newEnv(t)
	must(t, e.Client.Create(e.Ctx(), e.texts("one")))
	inj := e.Injector(fromTexts)
	r, follower := e.Start("a"), e.Start("b")
	e.Ready(r, follower)
	e.Serving("default")
	meshed := e.Meshed()
	e.marked(meshed, "one")

	must(t, e.Client.Update(e.Ctx(), e.texts("two")))
	changed := time.Now()
	e.marked(meshed, "two")
	t.Logf("a changed ConfigMap was in use after %s", time.Since(changed).Round(time.Millisecond))

	must(t, e.Client.Update(e.Ctx(), e.texts("${pod.nmae}")))
	e.Condition("default", v1alpha1.ConditionTemplatesReady, metav1.ConditionFalse, "CompileError")
	e.Event("CompileError", `template "mark" line 3`)
	e.marked(meshed, "two")

	must(t, e.Client.Delete(e.Ctx(), e.texts("")))
	e.Event("CompileError", "texts doesn't exist", "the last good version stays in use")
	e.marked(meshed, "two")
	r.Kill()
	follower.Kill()
	e.DropLease()
	e.Ready(e.Start("c")) // knows neither the ConfigMap nor what came before it
	e.marked(meshed, "two")

	must(t, e.Client.Create(e.Ctx(), e.texts("three")))
	now := e.Condition("default", v1alpha1.ConditionTemplatesReady, metav1.ConditionTrue, "Compiled")
	e.marked(meshed, "three")
	if now.Generation != inj.Generation || now.Status.ObservedGeneration != inj.Generation {
		t.Errorf("generation %d, observed %d; nobody changed the Injector since %d", now.Generation, now.Status.ObservedGeneration, inj.Generation)
	}
}

// TestFollowersFollowConfigMapsToo: every replica compiles for itself.
func TestFollowersFollowConfigMapsToo(t *testing.T) {
	e := newEnv(t)
	must(t, e.Client.Create(e.Ctx(), e.texts("one")))
	e.Injector(fromTexts)
	leader := e.Start("leader")
	e.Ready(leader)
	e.Serving("default")
	follower := e.Start("follower")
	e.Ready(follower)
	meshed := e.Meshed()
	leader.Kill() // its Lease is held for some seconds more
	must(t, e.Client.Update(e.Ctx(), e.texts("two")))
	e.marked(meshed, "two")
}
