package injector

import (
	"context"
	"errors"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/pillion-mesh/pillion/api/v1alpha1"
)

// behind is an informer that hasn't seen the last write yet.
type behind struct {
	client.Client
	shows *v1alpha1.Injector
}

func (b behind) Get(ctx context.Context, key client.ObjectKey, object client.Object, o ...client.GetOption) error {
	if inj, ok := object.(*v1alpha1.Injector); ok {
		b.shows.DeepCopyInto(inj)
		return nil
	}
	return b.Client.Get(ctx, key, object, o...)
}

// Two looks may come so close together that the second sees the status from before the first. What it finds is written
// all the same: otherwise the first's would stand until somebody looks again.
func TestStatusIsRightThoughTheInformerIsBehind(t *testing.T) {
	w := newWorld(t, made("default", "default", 1))
	w.must(w.reconcile("default"))
	before := w.get("default")

	w.c.Trusted = func(context.Context, string) error { return errors.New("broken") }
	w.must(w.reconcile("default"))
	if c := w.condition("default", v1alpha1.ConditionCertificatesReady); c.Status != metav1.ConditionFalse {
		t.Fatalf("CertificatesReady is %+v", c)
	}

	w.c.Trusted = func(context.Context, string) error { return nil }
	w.c.Client = behind{w.api, before}
	w.must(w.reconcile("default"))
	if c := w.condition("default", v1alpha1.ConditionCertificatesReady); c.Status != metav1.ConditionTrue {
		t.Errorf("CertificatesReady is %+v; want what the last look found", c)
	}
}
