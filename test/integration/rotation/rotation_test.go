package rotation

import (
	"testing"

	"github.com/pillion-mesh/pillion/api/v1alpha1"
)

func TestTenRotations(t *testing.T) {
	w := begin(t, 3)
	for range 10 {
		before := w.secret().Data["active.key"]
		w.completed(w.rotate("true"))
		if string(w.secret().Data["active.key"]) == string(before) {
			t.Error("the key is the same")
		}
	}
	if n := w.secret().Annotations[v1alpha1.AnnotationRotation]; n != "10" {
		t.Errorf("%s rotations were counted, want 10", n)
	}
	w.completed(w.rotate("compromised"))
	w.noLoss()
}
