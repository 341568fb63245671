package testenv_test

import (
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	corev1 "k8s.io/api/core/v1"

	"github.com/pillion-mesh/pillion/test/cluster/testenv"
)

func TestAPIOnlyServesPodsWithoutControllers(t *testing.T) {
	c := testenv.Start(t, testenv.Options{Name: "testenv"})
	namespace := c.Namespace(t)
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: "p"},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Image: "localhost/app:1"}}},
	}
	made, err := c.Client.CoreV1().Pods(namespace).Create(t.Context(), pod, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
	if err != nil {
		t.Fatalf("creating a pod: %v", err)
	}
	if made.Spec.SchedulerName != "default-scheduler" {
		t.Errorf("the API server didn't default the pod: %+v", made.Spec)
	}
}
