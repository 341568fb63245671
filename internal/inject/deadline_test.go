package inject

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/pillion-mesh/pillion/api/v1alpha1"
	"github.com/pillion-mesh/pillion/templates"
)

// endedLater is a context that has ended, which shows after so many looks at Err.
type endedLater struct {
	context.Context
	done  chan struct{}
	looks int
}

func (c *endedLater) Done() <-chan struct{} { return c.done }

func (c *endedLater) Err() error {
	if c.looks--; c.looks < 0 {
		return context.DeadlineExceeded
	}
	return nil
}

// TestCompilingHasADeadline, before an expression and in the middle of one that is folded.
func TestCompilingHasADeadline(t *testing.T) {
	env, err := newEnv()
	if err != nil {
		t.Fatal(err)
	}
	p := newProgram(defaultInjector(), Operator{})
	fixed := &vars{program: p, settings: p.baseSettings(false)}
	done := make(chan struct{})
	close(done)
	for looks, want := range []string{
		"spec.nodeName: context deadline exceeded",
		"spec.nodeName: evaluating ${[1,2].all(x, x > 0) ? 'a' : 'b'}: context deadline exceeded",
	} {
		ctx := &endedLater{context.Background(), done, looks}
		_, errs := compileTemplate(ctx, env, fixed, "t", "spec:\n  nodeName: \"${[1,2].all(x, x > 0) ? 'a' : 'b'}\"")
		if len(errs) != 1 || errs[0].Message != want {
			t.Errorf("after %d looks: %v, want %s", looks, errs, want)
		}
	}
}

// TestTooSlowIsNoFault: what a busy machine doesn't compile in time is tried again, not refused.
func TestTooSlowIsNoFault(t *testing.T) {
	inj := defaultInjector()
	inj.Name = "canary"
	ctx, cancel := context.WithDeadline(context.Background(), time.Unix(0, 0))
	defer cancel()
	_, err := compile(ctx, inj, Operator{Templates: templates.FS})
	if fault, isFault := errors.AsType[*CompileError](err); isFault {
		t.Errorf("a fault, so nobody tries again: %v", fault)
	}
	if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), `compiling injector "canary" took longer than 30s`) {
		t.Errorf("got %v, want the limit that was missed", err)
	}
	inj.Spec.DefaultTemplates = []string{"none"}
	if _, err = compile(context.Background(), inj, Operator{Templates: templates.FS}); errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a fault found in time is one: %v", err)
	}
}

// TestCorpusHasADeadline: that of the whole compilation.
func TestCorpusHasADeadline(t *testing.T) {
	p := newProgram(defaultInjector(), Operator{})
	p.templates["sidecar"] = &template{name: "sidecar", root: &tnode{}}
	p.defaults = choice{templates: []string{"sidecar"}}
	ctx, cancel := context.WithDeadline(context.Background(), time.Unix(0, 0))
	defer cancel()
	faults := map[string][]v1alpha1.TemplateError{}
	p.tryCorpus(ctx, faults)
	if len(faults["sidecar"]) != 1 {
		t.Errorf("faults %v", faults)
	}
}

func defaultInjector() *v1alpha1.Injector {
	inj := &v1alpha1.Injector{}
	v1alpha1.SetDefaults(inj)
	return inj
}
