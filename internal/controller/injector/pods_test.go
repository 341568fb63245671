package injector

import (
	"context"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/pillion-mesh/pillion/api/v1alpha1"
)

// TestStatusKeepsWhatTheWorkloadControllerCounted: both write the status of an Injector, each its own part.
func TestStatusKeepsWhatTheWorkloadControllerCounted(t *testing.T) {
	inj := &v1alpha1.Injector{ObjectMeta: metav1.ObjectMeta{Name: "default", UID: "u1", Generation: 1}}
	inj.Status.Pods = &v1alpha1.PodCounts{Injected: 210, Missing: 1}
	w := newWorld(t, inj)
	w.must(w.reconcile("default"))
	w.must(w.api.Get(context.Background(), client.ObjectKeyFromObject(inj), inj))
	if len(inj.Status.Conditions) == 0 {
		t.Fatal("no status was written: this proves nothing")
	}
	if pods := inj.Status.Pods; pods == nil || pods.Injected != 210 {
		t.Errorf("status.pods is %+v, want it as it was", pods)
	}
}
