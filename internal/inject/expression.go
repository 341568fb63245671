package inject

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/common/ast"
	"github.com/google/cel-go/common/overloads"
	"github.com/google/cel-go/common/types/ref"

	"github.com/pillion-mesh/pillion/internal/inject/rawjson"
)

// expression is one compiled placeholder. A lone variable, which most are, and a plain condition are read without CEL.
type expression struct {
	source   string
	typ      *cel.Type // of the value, without "optional"
	optional bool
	variable *variable
	plain    plain // nil: CEL does it
	program  cel.Program
	fixed    bool // depends on no pod
	settled  bool // or on nothing of it but what it changes of the settings
	captures bool // uses what pillion-capture is told
}

// celError is a fault inside an expression, at a place counted from the expression's start.
type celError struct {
	line, column int
	message      string
}

func (e *celError) Error() string { return e.message }

// maxExpression bounds one placeholder's source, and so the depth of what CEL parses. maxOpen bounds the depth of types:
// CEL's checker, which nothing can stop, takes more than the cube of it, a minute for lists in lists 200 deep.
const (
	maxExpression = 4096
	maxOpen       = 48
)

func compileExpression(env *cel.Env, source string, b bounds) (*expression, error) {
	if strings.TrimSpace(source) == "" {
		return nil, &celError{message: "the placeholder is empty; want a CEL expression between ${ and }"}
	}
	if len(source) > maxExpression {
		return nil, &celError{message: fmt.Sprintf("the expression has %d characters; want at most %d", len(source), maxExpression)}
	}
	if n := strings.Count(source, "(") + strings.Count(source, "[") + strings.Count(source, "{"); n > maxOpen {
		return nil, &celError{message: fmt.Sprintf("the expression has %d brackets, braces and parentheses; want at most %d", n, maxOpen)}
	}
	checked, issues := env.Compile(unreserve(source))
	if issues.Err() != nil {
		return nil, firstIssue(env, source, issues)
	}
	e := &expression{source: source, typ: checked.OutputType(), fixed: true, settled: true}
	if e.typ.TypeName() == "optional_type" {
		e.optional, e.typ = true, e.typ.Parameters()[0]
	}
	native := checked.NativeRep()
	if call := unbounded(native); call != "" {
		return nil, &celError{message: fmt.Sprintf("%s isn't available in templates: some patterns take minutes; use startsWith, endsWith, contains or split", call)}
	}
	for _, reference := range native.ReferenceMap() {
		if v := variableNamed(reference.Name); v != nil {
			e.fixed = e.fixed && v.fixed
			e.settled = e.settled && (v.fixed || v.setting)
			e.captures = e.captures || v.name == "capture.args"
		}
	}
	if e.variable = loneVariable(native); e.variable != nil {
		return e, nil
	}
	if e.plain = plainOf(native.Expr(), native.ReferenceMap()); e.plain != nil {
		return e, nil
	}
	var err error
	if e.program, err = env.Program(checked, cel.InterruptCheckFrequency(1), cel.CostLimit(b.cost), cel.CustomDecorator(b.step)); err != nil {
		return nil, &celError{message: err.Error()}
	}
	return e, nil
}

// unbounded is a function an expression calls whose time has no bound that could be checked while it runs.
func unbounded(checked *ast.AST) string {
	for _, reference := range checked.ReferenceMap() {
		if slices.Contains(reference.OverloadIDs, overloads.Matches) || slices.Contains(reference.OverloadIDs, overloads.MatchesString) {
			return overloads.Matches
		}
	}
	return ""
}

// unreserve writes the variable "namespace" as CEL has it (see declared), outside of quotes and not as a field.
func unreserve(source string) string {
	const word = "namespace"
	if !strings.Contains(source, word) {
		return source
	}
	out := []byte(source)
	for i := 0; i < len(source); i++ {
		switch c := source[i]; {
		case c == '"' || c == '\'':
			if i = quotedEnd(source, i); i < 0 {
				return source // CEL will say what is wrong with it
			}
		case isWord(c):
			end := i
			for end < len(source) && isWord(source[end]) {
				end++
			}
			if source[i:end] == word && (i == 0 || source[i-1] != '.' && source[i-1] != '?') {
				out[i] = 'N'
			}
			i = end - 1
		}
	}
	return string(out)
}

func isWord(c byte) bool {
	return c == '_' || '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
}

// firstIssue is the first fault of an expression: a name that nothing has before what CEL makes of that.
func firstIssue(env *cel.Env, source string, issues *cel.Issues) error {
	if unknown := misspelt(env, source); unknown != nil {
		return unknown
	}
	all := issues.Errors()
	if len(all) == 0 {
		return &celError{message: issues.Err().Error()}
	}
	first := all[0]
	message := strings.ReplaceAll(first.Message, "'Namespace", "'namespace")
	if field, ok := strings.CutPrefix(message, "undefined field '"); ok {
		field = strings.TrimSuffix(field, "'")
		message = fmt.Sprintf("%s: there is no such field", field)
		if near := nearestOf(field, containerFields); near != "" {
			message += fmt.Sprintf("; did you mean %s?", near)
		}
	}
	return &celError{line: first.Location.Line() - 1, column: first.Location.Column(), message: message}
}

// containerFields are those of Container and Port: the only types with fields.
var containerFields = []string{"name", "image", "ports", "containerPort", "protocol"}

// loneVariable is the variable an expression consists of, if that is all of it.
func loneVariable(checked *ast.AST) *variable {
	switch checked.Expr().Kind() {
	case ast.IdentKind, ast.SelectKind:
		if reference, ok := checked.ReferenceMap()[checked.Expr().ID()]; ok {
			return variableNamed(reference.Name)
		}
	}
	return nil
}

var errNone = errors.New("optional.none()")

// value evaluates e; errNone if it has none.
func (e *expression) value(ctx context.Context, v *vars) (*rawjson.Value, error) {
	value, err := e.unspent(ctx, v)
	if err != nil {
		return nil, err
	}
	return value, v.spend(sizeOf(value))
}

func (e *expression) unspent(ctx context.Context, v *vars) (*rawjson.Value, error) {
	if e.variable != nil && e.variable.json != nil {
		if value := e.variable.json(v); value != nil {
			return value, nil
		}
		return nil, errNone
	}
	if e.variable != nil {
		return fromGo(e.variable.get(v)), nil
	}
	if e.plain != nil {
		return fromGo(e.plain(v)), nil
	}
	out, err := e.eval(ctx, v)
	if err != nil {
		return nil, err
	}
	return fromCEL(out, 0)
}

// text evaluates e as part of a longer text.
func (e *expression) text(ctx context.Context, v *vars) (string, error) {
	if e.variable != nil {
		if s, ok := e.variable.get(v).(string); ok {
			return s, v.spend(len(s))
		}
	}
	value, err := e.value(ctx, v)
	if err != nil {
		return "", err
	}
	switch value.Kind() {
	case rawjson.String:
		return value.Text(), nil
	case rawjson.List, rawjson.Object:
		return "", fmt.Errorf("${%s} is no text but %s", cut(e.source, shown), cut(value.String(), shown))
	}
	return value.Raw(), nil
}

func (e *expression) eval(ctx context.Context, v *vars) (ref.Val, error) {
	out, details, err := e.program.ContextEval(ctx, v)
	if ctx.Err() != nil {
		err = ctx.Err() // CEL only says "operation interrupted"
	}
	if err == nil {
		err = v.work(details)
	}
	if err != nil {
		return nil, fmt.Errorf("evaluating ${%s}: %w", cut(e.source, shown), err)
	}
	return out, nil
}
