package inject

import (
	"context"

	"github.com/pillion-mesh/pillion/api/v1alpha1"
)

// Program is a compiled Injector: immutable, safe for concurrent use.
type Program struct {
	injector *v1alpha1.Injector
	hash     string
}

// Compile turns an Injector into a Program. The error is a *CompileError.
func Compile(inj *v1alpha1.Injector, op Operator) (*Program, error) {
	return &Program{injector: inj}, nil
}

// Hash names everything that can change a rendered pod: 12 hex digits.
func (p *Program) Hash() string { return p.hash }

// Injector is the name of the Injector this program was compiled from.
func (p *Program) Injector() string { return p.injector.Name }

// CompileError says what is wrong with an Injector, by template. Faults outside templates are under the name "".
type CompileError struct {
	Injector  string
	Templates map[string][]v1alpha1.TemplateError
}

func (e *CompileError) Error() string { return "compiling injector " + e.Injector }

// Set is all Programs an operator serves, with the webhooks rendered for them: immutable.
type Set struct {
	op       Operator
	programs map[string]*Program
}

// NewSet joins programs and the names their Injectors own (from Claims).
func NewSet(op Operator, programs []*Program, owned map[string]string) *Set {
	return &Set{op: op}
}

// Decide says what becomes of a pod and why. It runs Select first if r.Entry is empty.
func (s *Set) Decide(r Request) Decision { return Decision{Outcome: OutcomeSkip} }

// Inject decides and, where the decision is to inject, makes the patch.
func (s *Set) Inject(ctx context.Context, r Request) Result { return Result{Decision: s.Decide(r)} }
