package injector

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/pillion-mesh/pillion/api/v1alpha1"
	"github.com/pillion-mesh/pillion/internal/inject"
)

// LastGood finds the version of an Injector that compiled last, for a process that has just started.
type LastGood interface {
	Load(ctx context.Context, inj *v1alpha1.Injector) (*v1alpha1.Injector, error) // nil, nil: there is none
}

// Compiler turns all Injectors into one Set. An edit counts as a whole or not at all: while the present version of an
// Injector is faulty, the last good one stays in use, webhooks included. Templates may take long to compile: nobody but
// the caller of Refresh waits for them, everyone else takes the latest State.
type Compiler struct {
	Injectors client.Reader // the informer
	Revisions Revisions
	Sources   Sources
	LastGood  LastGood
	Operator  inject.Operator
	Compile   func(*v1alpha1.Injector, inject.Operator) (*inject.Program, error) // inject.Compile
	Log       logr.Logger

	ready *prometheus.GaugeVec
	knew  atomic.Bool // of every Injector once what to serve
	mu    sync.Mutex  // one Refresh at a time
	state atomic.Pointer[State]
}

// State is the latest, nil before the first Refresh.
func (c *Compiler) State() *State { return c.state.Load() }

// Set is the webhook's, nil before the first Refresh.
func (c *Compiler) Set() *inject.Set {
	if s := c.state.Load(); s != nil {
		return s.Set
	}
	return nil
}

// readTimeout bounds the reading of one last good version, or of one Injector's ConfigMaps.
const readTimeout = 5 * time.Second

// Ready is /readyz's: some Injector's templates compiled, or there is none, and of none it is still to be found out what
// to serve. Without that last part a replica whose first call failed would answer pods of that Injector with 404, while
// its neighbours, which know, go on. Once is enough: an Injector that is made later must not take out replicas that serve.
func (c *Compiler) Ready() error {
	s := c.state.Load()
	if s == nil {
		return errors.New("no Injector was read yet")
	}
	working := 0
	for _, compiled := range s.Injectors {
		if compiled.Program != nil {
			working++
		} else if compiled.Pending != nil && !c.knew.Load() {
			return compiled.Pending
		}
	}
	if working == 0 && len(s.Injectors) > 0 {
		return errors.New("no Injector's templates compile: see kubectl get injectors -o yaml")
	}
	c.knew.Store(true)
	return nil
}

// Refresh compiles what changed and swaps the state; changed says whether it did, even with an error, which then is
// about some Injectors only.
func (c *Compiler) Refresh(ctx context.Context) (changed bool, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var list v1alpha1.InjectorList
	if err := c.Injectors.List(ctx, &list); err != nil {
		return false, fmt.Errorf("listing Injectors: %w", err)
	}
	before := c.state.Load()
	first := before == nil
	if first {
		before = &State{}
	}
	ours, others := c.divide(list.Items)
	compiled, err := c.compileAll(ctx, ours, before.Injectors)
	next := c.join(compiled, others)
	next.Identity = identity(compiled, before.Identity)
	if !first && maps.Equal(compiled, before.Injectors) && maps.Equal(next.Owned, before.Owned) {
		return false, err
	}
	c.measure(before, next)
	c.state.Store(next)
	return true, err
}

// divide tells the Injectors this operator serves from those of others that have names.
func (c *Compiler) divide(all []v1alpha1.Injector) (ours, others []v1alpha1.Injector) {
	for _, inj := range all {
		switch {
		case c.Revisions.Serves(&inj):
			ours = append(ours, inj)
		case claimsElsewhere(&inj):
			others = append(others, inj)
		}
	}
	return ours, others
}

func (c *Compiler) compileAll(ctx context.Context, injectors []v1alpha1.Injector, before map[string]*Compiled) (map[string]*Compiled, error) {
	var faults []error
	now := make(map[string]*Compiled, len(injectors))
	for i := range injectors {
		inj := &injectors[i]
		known := before[inj.Name]
		if known != nil && known.UID != inj.UID {
			known = nil
		}
		sources, err := c.Sources.versions(ctx, inj)
		if err != nil {
			faults = append(faults, err)
		}
		if known == nil || known.Generation != inj.Generation || known.Sources != sources || known.Pending != nil {
			known = c.compile(ctx, inj.DeepCopy(), known)
			known.Sources = sources
			faults = append(faults, known.Pending)
		}
		now[inj.Name] = known
	}
	return now, errors.Join(faults...)
}

// compile judges the present version of an Injector and falls back to the last good one. inj is the caller's to keep.
func (c *Compiler) compile(ctx context.Context, inj *v1alpha1.Injector, known *Compiled) *Compiled {
	v1alpha1.SetDefaults(inj)
	result := &Compiled{UID: inj.UID, Generation: inj.Generation}
	if result.Invalid = v1alpha1.Validate(inj); len(result.Invalid) == 0 {
		if c.present(ctx, inj, result); result.Program != nil {
			return result
		}
	}
	c.Log.Info("Injector has not compiled; its last good version stays in use", "injector", inj.Name,
		"generation", inj.Generation, "invalid", result.Invalid.ToAggregate(), "fault", result.Fault, "pending", result.Pending)
	if known != nil && known.Program != nil {
		result.Program, result.InEffect = known.Program, known.InEffect
	} else if err := c.recall(ctx, inj, result); err != nil {
		result.Pending = err
	}
	return result
}

// present compiles a version that is valid as far as its spec goes. One that takes too long may be quicker the next
// time.
func (c *Compiler) present(ctx context.Context, inj *v1alpha1.Injector, result *Compiled) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	faults, err := c.Sources.Resolve(ctx, inj)
	if err != nil {
		result.Pending = err
		return
	}
	if len(faults) > 0 {
		result.Fault = &inject.CompileError{Injector: inj.Name, Templates: faults}
		return
	}
	program, err := c.Compile(inj, c.Operator)
	switch {
	case err == nil:
		result.Program, result.InEffect = program, inj
	case !errors.As(err, &result.Fault):
		result.Pending = err
	}
}

// recall brings back the last good version from before this process started.
func (c *Compiler) recall(ctx context.Context, inj *v1alpha1.Injector, result *Compiled) error {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	good, err := c.LastGood.Load(ctx, inj)
	if err != nil || good == nil {
		return err
	}
	program, err := c.Compile(good, c.Operator)
	if _, faulty := errors.AsType[*inject.CompileError](err); err != nil && !faulty {
		return fmt.Errorf("the last good version: %w", err)
	} else if faulty {
		c.Log.Info("last good version doesn't compile any more", "injector", inj.Name, "error", err.Error())
		return nil
	}
	result.Program, result.InEffect = program, good
	return nil
}

// join decides who owns which name. An Injector that never compiled claims nothing: it can't take a name from one that
// works.
func (c *Compiler) join(compiled map[string]*Compiled, others []v1alpha1.Injector) *State {
	s := &State{Injectors: compiled}
	working := slices.Clone(others)
	var programs []*inject.Program
	for _, name := range slices.Sorted(maps.Keys(compiled)) {
		if one := compiled[name]; one.Program != nil {
			working = append(working, *one.InEffect)
			programs = append(programs, one.Program)
		}
	}
	s.Owned, s.Refused = inject.Claims(working)
	s.Set = inject.NewSet(c.Operator, programs, s.Owned)
	return s
}

func (c *Compiler) measure(before, next *State) {
	for name := range before.Injectors {
		if next.Injectors[name] == nil {
			c.ready.DeleteLabelValues(name)
		}
	}
	for name, one := range next.Injectors {
		value := 1.0
		if one.Program == nil || one.Previous() {
			value = 0
		}
		c.ready.WithLabelValues(name).Set(value)
	}
}
