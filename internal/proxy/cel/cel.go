// Package cel judges exchanges by expressions of the Common Expression Language over Envoy's attributes, as access log
// filters have them. A text comes in; a compiled Expression goes out, which says yes or no. The language is cel-go's, but
// for comprehensions; the attributes are in attributes.go.
//
// What an expression asks for and isn't there is an error, and an error is no: `request.headers['a'] == 'b'` doesn't match a
// request without that header. `&&` and `||` swallow an error whose other side decides.
package cel

import (
	"fmt"

	"github.com/google/cel-go/common"
	"github.com/google/cel-go/common/ast"
	"github.com/google/cel-go/common/operators"
	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/interpreter"

	"github.com/pillion-mesh/pillion/internal/proxy/stream"
)

// Bounds of an expression: its text and its nesting. With constant patterns and without comprehensions an evaluation takes
// no longer than the text times the values it looks at.
const (
	maxText    = 4096 // characters
	maxNesting = 48
)

// Expression is a compiled expression, safe for concurrent use.
type Expression struct {
	program interpreter.Interpretable
	uses    map[string][]attribute // by the name they begin with
}

// Compile compiles an expression. Errors name what isn't understood and where it stands.
func Compile(text string) (*Expression, error) {
	e, err := compile(text)
	if err != nil {
		return nil, fmt.Errorf("the expression %q: %w", text, err)
	}
	return e, nil
}

func compile(text string) (*Expression, error) {
	l, err := theLanguage()
	if err != nil {
		return nil, err
	}
	parsed, problems := l.parser.Parse(common.NewTextSource(text))
	if list := problems.GetErrors(); len(list) > 0 {
		return nil, fmt.Errorf("%s (line %d, column %d)", list[0].Message, list[0].Location.Line(), list[0].Location.Column()+1)
	}
	e := &Expression{uses: map[string][]attribute{}}
	c := checker{rep: parsed, uses: e.uses, selected: map[int64]string{}}
	if err := c.check(); err != nil {
		return nil, err
	}
	e.program, err = l.interpreter.NewInterpretable(parsed, interpreter.Optimize(), interpreter.CompileRegexConstants(interpreter.MatchesRegexOptimization))
	if err != nil {
		return nil, err
	}
	return e, nil
}

// Match reports whether the expression is true of x. Errors and anything but a bool are not.
func (e *Expression) Match(x *stream.Exchange) bool {
	activation, err := interpreter.NewActivation(e.values(x))
	if err != nil {
		return false
	}
	return e.program.Eval(activation) == types.True
}

// functions are those an expression may call: CEL's own, and no comprehension.
var functions = map[string]bool{
	operators.Conditional: true, operators.LogicalAnd: true, operators.LogicalOr: true, operators.LogicalNot: true,
	operators.Equals: true, operators.NotEquals: true, operators.Less: true, operators.LessEquals: true, operators.Greater: true,
	operators.GreaterEquals: true, operators.Add: true, operators.Subtract: true, operators.Multiply: true, operators.Divide: true,
	operators.Modulo: true, operators.Negate: true, operators.Index: true, operators.In: true,
	"size": true, "contains": true, "startsWith": true, "endsWith": true, "matches": true,
	"int": true, "string": true, "double": true, "bool": true, "duration": true, "timestamp": true,
}

// checker looks for what can't be done, and for the attributes that are asked for.
type checker struct {
	rep      *ast.AST
	uses     map[string][]attribute
	selected map[int64]string // identifiers with the name that is selected of them
	err      error
}

func (c *checker) check() error {
	ast.PreOrderVisit(c.rep.Expr(), ast.NewExprVisitor(c.visit))
	return c.err
}

// visit sees what selects before what it selects of.
func (c *checker) visit(e ast.Expr) {
	switch e.Kind() {
	case ast.CallKind:
		c.call(e, e.AsCall())
	case ast.SelectKind:
		if of := e.AsSelect().Operand(); of.Kind() == ast.IdentKind {
			c.selected[of.ID()] = e.AsSelect().FieldName()
		}
	case ast.IdentKind:
		c.attribute(e)
	case ast.ComprehensionKind, ast.MapKind, ast.StructKind, ast.UnspecifiedExprKind:
		c.fail(e, "comprehensions and messages are not supported")
	case ast.ListKind, ast.LiteralKind:
	}
}

// call refuses patterns that aren't known yet: a request would choose what they cost.
func (c *checker) call(e ast.Expr, call ast.CallExpr) {
	name, args := call.FunctionName(), call.Args()
	if !functions[name] {
		c.fail(e, "the function %s is not supported", name)
	}
	if name == "matches" && len(args) > 0 && args[len(args)-1].Kind() != ast.LiteralKind {
		c.fail(e, "a pattern of matches that is no literal is not supported")
	}
}

func (c *checker) attribute(e ast.Expr) {
	name, field := e.AsIdent(), c.selected[e.ID()]
	all, known := roots[name]
	switch {
	case !known:
		c.fail(e, "%s is unknown", name)
	case all == nil: // its keys are anybody's
		c.uses[name] = nil
	case field == "":
		c.fail(e, "%s is no value, only %s.NAME is", name, name)
	case all[field] == nil:
		c.fail(e, "the attribute %s.%s is unknown", name, field)
	default:
		c.uses[name] = append(c.uses[name], attribute{field, all[field]})
	}
}

// fail keeps the first problem.
func (c *checker) fail(e ast.Expr, format string, args ...any) {
	if c.err != nil {
		return
	}
	at := c.rep.SourceInfo().GetStartLocation(e.ID())
	c.err = fmt.Errorf("%s (line %d, column %d)", fmt.Sprintf(format, args...), at.Line(), at.Column()+1)
}
