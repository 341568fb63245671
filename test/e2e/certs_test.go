package e2e

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pillion-mesh/pillion/api/v1alpha1"
	"github.com/pillion-mesh/pillion/internal/controller/servingcert/rotation"
	"github.com/pillion-mesh/pillion/internal/istio"
	"github.com/pillion-mesh/pillion/test/install"
)

// testCertificates replaces the serving CA while pods are created, with three replicas behind the real Services: no
// creation fails, and `pillion certs` tells what is so.
func testCertificates(t *testing.T, e *env) {
	e.scale(t, 3)
	e.rolledOut(t)
	t.Cleanup(func() { e.scale(t, 2); e.rolledOut(t) })
	namespace := e.Namespace(t, map[string]string{istio.LabelInjection: "enabled"})
	t.Run("compromised", func(t *testing.T) { checkRotation(t, e, namespace) })
	t.Run("rollout restart in the middle", func(t *testing.T) { checkRotationOverRestart(t, e, namespace) })
}

func (e *env) scale(t *testing.T, replicas int) {
	t.Helper()
	e.must(t, "scale", "-n", install.Namespace, "deployment/pillion", fmt.Sprintf("--replicas=%d", replicas))
}

// checkRotation follows one rotation from phase to phase.
func checkRotation(t *testing.T, e *env, namespace string) {
	look := newLook(t, e)
	old := look.agree(t, v1alpha1.PhaseSteady, 1).theOne(t)
	probed := e.probed(t)
	l := startLoad(t, e, namespace)
	command := e.rotate(t, "--compromised")

	e.phase(t, v1alpha1.PhasePropagate)
	propagate := e.since(t)
	during := look.agree(t, v1alpha1.PhasePropagate, 2)
	next := during.theOther(t, old)
	for name, ca := range during.Serving {
		if probe := look.at(t, name, probeHost).ca; ca != old || probe != next {
			t.Errorf("in Propagate %s serves CA %s and shows the probe %s, want the old one, %s, and the new one, %s", name, ca, probe, old, next)
		}
	}
	e.phase(t, v1alpha1.PhasePromote)
	checkProven(t, e.since(t).Sub(propagate))
	if grown := e.probed(t) - probed; grown < float64(len(during.Serving)) {
		t.Errorf("pillion_serving_probe_total{result=\"ok\"} grew by %v; each of %d replicas should have answered through Service pillion-probe", grown, len(during.Serving))
	}
	if code := command.wait(t); code != 0 {
		t.Errorf("pillion certs rotate: exit code %d", code)
	}
	if after := look.agree(t, v1alpha1.PhaseSteady, 1).theOne(t); after != next {
		t.Errorf("at the end CA %s is trusted, want %s", after, next)
	}
	if failed := l.end(t); failed != 0 {
		t.Errorf("%d creations failed during a rotation; want none", failed)
	}
}

// checkProven: without a probe through the API server a rotation waits ProbeOffSettle.
func checkProven(t *testing.T, took time.Duration) {
	t.Helper()
	t.Logf("Propagate took %s", took)
	times := rotation.DefaultTimes().Of(rotation.State{Fast: true})
	if took < times.Settle || took >= times.ProbeOffSettle {
		t.Errorf("Propagate took %s; with the probe passed it is %s or a few seconds more, without %s", took, times.Settle, times.ProbeOffSettle)
	}
}

// checkRotationOverRestart: a rotation goes on with the replicas that take over in the middle of it.
func checkRotationOverRestart(t *testing.T, e *env, namespace string) {
	old := newLook(t, e).agree(t, v1alpha1.PhaseSteady, 1).theOne(t)
	l := startLoad(t, e, namespace)
	command := e.rotate(t, "--compromised")
	e.phase(t, v1alpha1.PhasePropagate)
	e.must(t, "rollout", "restart", "-n", install.Namespace, "deployment/pillion")
	e.must(t, "rollout", "status", "-n", install.Namespace, "deployment/pillion", "--timeout=300s")
	e.scale(t, 2)
	if code := command.wait(t); code != 0 {
		t.Errorf("pillion certs rotate: exit code %d", code)
	}
	e.rolledOut(t)
	if now := newLook(t, e).agree(t, v1alpha1.PhaseSteady, 1).theOne(t); now == old {
		t.Errorf("CA %s is trusted still", now)
	}
	if failed := l.end(t); failed != 0 {
		t.Errorf("%d creations failed during a rotation with a rollout restart; want none", failed)
	}
}

// command is `pillion certs rotate`, while it runs.
type command struct {
	*exec.Cmd
	said bytes.Buffer
}

// rotate starts a rotation, and follows it to its end.
func (e *env) rotate(t *testing.T, args ...string) *command {
	t.Helper()
	c := &command{Cmd: exec.CommandContext(deadline(t, 6*time.Minute), e.cli, append([]string{"certs", "rotate", "--timeout=5m"}, args...)...)}
	c.Env = append(os.Environ(), "KUBECONFIG="+e.kubectl.Kubeconfig)
	c.Stdout, c.Stderr = &c.said, &c.said
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	return c
}

// wait returns the exit code.
func (c *command) wait(t *testing.T) int {
	t.Helper()
	_ = c.Wait() // says no more than the code
	t.Logf("pillion certs rotate said:\n%s", &c.said)
	return c.ProcessState.ExitCode()
}

// phase waits until a rotation is in a phase.
func (e *env) phase(t *testing.T, want string) {
	t.Helper()
	eventually(t, 2*time.Minute, func() error {
		if phase := e.annotations(t)[v1alpha1.AnnotationPhase]; phase != want {
			return fmt.Errorf("the rotation is in phase %s, want %s", phase, want)
		}
		return nil
	})
}

// since is when the present phase began, by the operator's word.
func (e *env) since(t *testing.T) time.Time {
	t.Helper()
	since, err := time.Parse(time.RFC3339Nano, e.annotations(t)[v1alpha1.AnnotationPhaseSince])
	if err != nil {
		t.Fatal(err)
	}
	return since
}

// annotations are those of the Secret with the CA.
func (e *env) annotations(t *testing.T) map[string]string {
	t.Helper()
	secret, err := e.Client.CoreV1().Secrets(install.Namespace).Get(deadline(t, 30*time.Second), v1alpha1.ServingCASecret("pillion"), metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return secret.Annotations
}

// probed is how many calls through the API server to Service pillion-probe were answered as they should be.
func (e *env) probed(t *testing.T) float64 {
	t.Helper()
	var sum float64
	for _, pod := range e.allOperatorPods(t) {
		metrics, err := e.kubectl.OperatorMetrics(deadline(t, 30*time.Second), pod.Name)
		if err != nil {
			t.Fatal(err)
		}
		sum += metrics.Sum("pillion_serving_probe_total", map[string]string{"result": "ok"})
	}
	return sum
}
