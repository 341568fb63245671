package cli

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/pillion-mesh/pillion/api/v1alpha1"
	"github.com/pillion-mesh/pillion/internal/inject"
	"github.com/pillion-mesh/pillion/internal/inject/injecttest"
	"github.com/pillion-mesh/pillion/templates"
)

// TestTooSlowIsBusy: an Injector this machine didn't compile in time isn't called faulty, nor answered without.
func TestTooSlowIsBusy(t *testing.T) {
	cluster, op := shop(t), injecttest.Operator(templates.FS)
	in, err := readInjection(t.Context(), cluster)
	if err != nil {
		t.Fatal(err)
	}
	in.compiler = func(inj *v1alpha1.Injector, op inject.Operator) (*inject.Program, error) {
		if inj.Name == "canary" {
			return nil, &inject.TimeoutError{Injector: inj.Name}
		}
		return inject.Compile(inj, op)
	}
	_, err = in.set(t.Context(), cluster, op)
	if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), `busy: compiling injector "canary" took longer than`) {
		t.Errorf("got %v, want that this machine is busy", err)
	}
	if notes := strings.Join(in.notes, "; "); strings.Contains(notes, "faulty") {
		t.Errorf("notes: %s", notes)
	}
}
