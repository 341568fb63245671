package rotation

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"testing"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/pillion-mesh/pillion/api/v1alpha1"
	"github.com/pillion-mesh/pillion/internal/controller/servingcert/rotation"
	"github.com/pillion-mesh/pillion/test/cluster/testenv"
	"github.com/pillion-mesh/pillion/test/integration/operatortest"
)

type replica = operatortest.Replica

var must = operatortest.Must

// world is a cluster with an Injector, replicas and a client that creates pods from begin to end.
type world struct {
	*operatortest.Env
	replicas []*replica // that run, as far as the test knows
	steps    *steps
	traffic  *traffic

	started int
}

// clusters are those that no test uses now: tests wait more than they work, so two at a time.
var clusters = make(chan string, 2)

func init() { clusters <- clusterName; clusters <- clusterName + "-2" }

// newWorld has no replicas yet.
func newWorld(t *testing.T) *world {
	t.Helper()
	t.Parallel()
	cluster := <-clusters
	t.Cleanup(func() { clusters <- cluster })
	w := &world{Env: operatortest.New(t, operatortest.Options{Cluster: testenv.Options{Name: cluster}})}
	w.Injector()
	return w
}

// begin starts n replicas, the first of which leads, and then the client.
func begin(t *testing.T, n int, env ...string) *world {
	t.Helper()
	w := newWorld(t)
	w.start(env...)
	w.lead(w.replicas[0])
	for range n - 1 {
		w.start(env...)
	}
	w.watch()
	return w
}

// watch starts the client, and whoever notes the phases.
func (w *world) watch() {
	w.T.Helper()
	w.Ready(w.replicas...)
	w.Serving("default")
	w.steps = w.follow()
	w.Eventually("the first phase is noted", func() error {
		if w.steps.count() == 0 {
			return errors.New("none is")
		}
		return nil
	})
	w.traffic = w.create(w.Meshed())
}

// start runs another replica. On a slow machine the relay takes long to hear that one ends, which isn't what this is about.
func (w *world) start(env ...string) *replica {
	w.T.Helper()
	w.started++
	r := w.Run(operatortest.Process{Name: fmt.Sprintf("r%d", w.started), Flags: []string{w.ProbeFlag(), "--drain=10s"}, Env: env})
	w.replicas = append(w.replicas, r)
	return r
}

// lead waits until a replica does.
func (w *world) lead(r *replica) {
	w.T.Helper()
	w.Eventually("replica "+r.Name+" leads", func() error { return w.Leads(w.Lease(), r) })
}

// leader waits for one.
func (w *world) leader() *replica {
	w.T.Helper()
	var leader *replica
	w.Eventually("some replica leads", func() error {
		for _, r := range w.replicas {
			if w.Leads(w.Lease(), r) == nil {
				leader = r
				return nil
			}
		}
		return errors.New("none does")
	})
	return leader
}

// followers are the others.
func (w *world) followers() []*replica {
	w.T.Helper()
	leader := w.leader()
	return slices.DeleteFunc(slices.Clone(w.replicas), func(r *replica) bool { return r == leader })
}

// gone takes a replica off the list of those that run.
func (w *world) gone(r *replica) {
	w.replicas = slices.DeleteFunc(w.replicas, func(one *replica) bool { return one == r })
}

// lose kills a replica as a node's death does. What was inside is lost with it, and is no loss of a rotation's.
func (w *world) lose(r *replica) {
	w.T.Helper()
	inside := w.Service.Lose(r)
	w.traffic.forgive(inside)
	w.gone(r)
}

// terminate ends a replica as a rollout does.
func (w *world) terminate(r *replica) {
	r.Terminate()
	w.gone(r)
}

func (w *world) secret() *corev1.Secret {
	w.T.Helper()
	s := &corev1.Secret{}
	must(w.T, w.Client.Get(w.Ctx(), client.ObjectKey{Namespace: w.Namespace, Name: v1alpha1.ServingCASecret("pillion")}, s))
	return s
}

// rotate asks for a rotation and returns what has happened until then.
func (w *world) rotate(kind string) (mark int) {
	w.T.Helper()
	mark = w.steps.count()
	patch := fmt.Appendf(nil, `{"metadata":{"annotations":{%q:%q}}}`, v1alpha1.AnnotationRotate, kind)
	must(w.T, w.Client.Patch(w.Ctx(), w.secret(), client.RawPatch("application/merge-patch+json", patch)))
	return mark
}

// completed waits until the rotation that was asked for at mark is over and everything is as if there had been none.
func (w *world) completed(mark int) {
	w.T.Helper()
	w.reach(mark, rotation.Steady)
	w.Eventually("only the active CA is left", w.settled)
	w.T.Logf("rotation: %s", w.steps.since(mark))
}

// settled says that Secret, bundles and leaves know one CA only.
func (w *world) settled() error {
	s := w.secret()
	if phase := s.Annotations[v1alpha1.AnnotationPhase]; phase != string(rotation.Steady) {
		return fmt.Errorf("phase %s", phase)
	}
	for _, key := range []string{"prev.crt", "next.crt", "next.key", "trusted.crt"} {
		if len(s.Data[key]) > 0 {
			return fmt.Errorf("the Secret still has %s", key)
		}
	}
	for name, caBundle := range w.bundles() {
		if !bytes.Equal(caBundle, s.Data["active.crt"]) {
			return fmt.Errorf("%s trusts something else than the active CA", name)
		}
	}
	for _, r := range w.replicas {
		if err := w.serves(r, s.Data["active.crt"]); err != nil {
			return err
		}
	}
	return nil
}

// bundles are those of every entry of every webhook configuration.
func (w *world) bundles() map[string][]byte {
	w.T.Helper()
	all := map[string][]byte{}
	var mutating admissionv1.MutatingWebhookConfigurationList
	var validating admissionv1.ValidatingWebhookConfigurationList
	must(w.T, errors.Join(w.Client.List(w.Ctx(), &mutating), w.Client.List(w.Ctx(), &validating)))
	for _, c := range mutating.Items {
		for _, e := range c.Webhooks {
			all[c.Name+"/"+e.Name] = e.ClientConfig.CABundle
		}
	}
	for _, c := range validating.Items {
		for _, e := range c.Webhooks {
			all[c.Name+"/"+e.Name] = e.ClientConfig.CABundle
		}
	}
	return all
}

// during has a rotation go through something as soon as a phase has begun.
func (w *world) during(phase rotation.Phase, happens func()) {
	w.T.Helper()
	w.leader()
	mark := w.rotate("true")
	w.reach(mark, phase)
	w.T.Logf("in %s:", phase)
	happens()
	w.completed(mark)
	w.Ready(w.replicas...)
}
