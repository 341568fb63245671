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
	return &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: e.namespace, Name: "texts"},
		Data: map[string]string{"mark.yaml": labelTemplate(value)[0].Inline}}
}

func fromTexts(i *v1alpha1.Injector) {
	i.Spec.DefaultTemplates = []string{"sidecar", "mark"}
	i.Spec.Templates = []v1alpha1.Template{{Name: "mark", ConfigMapRef: &v1alpha1.ConfigMapKey{Name: "texts", Key: "mark.yaml"}}}
}

// marked waits until pods of a namespace get a label from the template.
func (e *env) marked(namespace, want string) {
	e.t.Helper()
	e.eventually("pods are labelled mark="+want, func() error {
		made, err := e.create(e.ctx(), pod(namespace))
		if err == nil && made.Labels["mark"] != want {
			err = errorf("label mark is %q", made.Labels["mark"])
		}
		return err
	})
}

func TestTemplateFromAConfigMap(t *testing.T) {
	e := newEnv(t)
	must(t, e.client.Create(e.ctx(), e.texts("one")))
	inj := e.injector(fromTexts)
	r, follower := e.start("a"), e.start("b")
	e.ready(r, follower)
	e.serving("default")
	meshed := e.meshed()
	e.marked(meshed, "one")

	must(t, e.client.Update(e.ctx(), e.texts("two")))
	changed := time.Now()
	e.marked(meshed, "two")
	t.Logf("a changed ConfigMap was in use after %s", time.Since(changed).Round(time.Millisecond))

	must(t, e.client.Update(e.ctx(), e.texts("${pod.nmae}")))
	e.condition("default", v1alpha1.ConditionTemplatesReady, metav1.ConditionFalse, "CompileError")
	e.event("CompileError", `template "mark" line 3`)
	e.marked(meshed, "two")

	must(t, e.client.Delete(e.ctx(), e.texts("")))
	e.event("CompileError", "texts doesn't exist", "the last good version stays in use")
	e.marked(meshed, "two")
	r.kill()
	follower.kill()
	e.dropLease()
	e.ready(e.start("c")) // knows neither the ConfigMap nor what came before it
	e.marked(meshed, "two")

	must(t, e.client.Create(e.ctx(), e.texts("three")))
	now := e.condition("default", v1alpha1.ConditionTemplatesReady, metav1.ConditionTrue, "Compiled")
	e.marked(meshed, "three")
	if now.Generation != inj.Generation || now.Status.ObservedGeneration != inj.Generation {
		t.Errorf("generation %d, observed %d; nobody changed the Injector since %d", now.Generation, now.Status.ObservedGeneration, inj.Generation)
	}
}

// TestFollowersFollowConfigMapsToo: every replica compiles for itself.
func TestFollowersFollowConfigMapsToo(t *testing.T) {
	e := newEnv(t)
	must(t, e.client.Create(e.ctx(), e.texts("one")))
	e.injector(fromTexts)
	leader := e.start("leader")
	e.ready(leader)
	e.serving("default")
	follower := e.start("follower")
	e.ready(follower)
	meshed := e.meshed()
	leader.kill() // its Lease is held for some seconds more
	must(t, e.client.Update(e.ctx(), e.texts("two")))
	e.marked(meshed, "two")
}
