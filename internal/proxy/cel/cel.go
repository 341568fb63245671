// Package cel judges exchanges by expressions of the Common Expression Language over Envoy's attributes, as access log
// filters have them. A text comes in; a compiled Expression goes out, which says yes or no. The language is the one of
// github.com/google/cel-spec without types as values, messages and optional values: parse.go reads it and makes closures,
// value.go says what they pass on, call.go lists the functions, attributes.go what is known of an exchange. Tests hold it
// against cel-go, which would cost each sidecar 2.5 MiB.
//
// What an expression asks for and isn't there is an error, and an error is no: `request.headers['a'] == 'b'` doesn't match a
// request without that header. `&&` and `||` swallow an error whose other side decides.
package cel

import (
	"fmt"
	"sync"

	"github.com/pillion-mesh/pillion/internal/proxy/stream"
)

// Bounds of an expression, and of what one evaluation may do: a step is an element that a macro looks at, or stepBytes of
// text that a function goes through.
const (
	maxText    = 4096 // bytes
	maxNesting = 48
	maxSteps   = 100_000
	stepBytes  = 64
	maxSize    = 1 << 16 // elements of a list, and stepBytes of a text, that an expression puts together
)

// Expression is a compiled expression, safe for concurrent use.
type Expression struct {
	eval eval
	vars int // of macros
}

// Compile compiles an expression. Errors name what isn't understood and where it stands.
func Compile(text string) (*Expression, error) {
	e, err := compile(text)
	if err != nil {
		return nil, fmt.Errorf("the expression %q: %w", text, err)
	}
	return e, nil
}

// Match reports whether the expression is true of x. Errors and anything but a bool are not.
func (e *Expression) Match(x *stream.Exchange) bool {
	v := e.value(x)
	return v.kind == boolKind && v.num == 1
}

func (e *Expression) value(x *stream.Exchange) value {
	f := frames.Get().(*frame)
	f.x, f.steps = x, maxSteps
	v := e.eval(f)
	f.x = nil
	clear(f.vars[:e.vars])
	frames.Put(f)
	return v
}

// eval computes a value, or an error, which is one too.
type eval func(*frame) value

// frame is one evaluation.
type frame struct {
	x     *stream.Exchange
	steps int
	vars  [maxNesting]value // of the macros around, the outermost first
}

var frames = sync.Pool{New: func() any { return new(frame) }}

// spend takes n of the steps that are left, and reports whether there were as many.
func (f *frame) spend(n int) bool {
	f.steps -= n
	return f.steps >= 0
}
