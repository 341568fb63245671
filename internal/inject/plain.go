package inject

import (
	"slices"

	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/common/ast"
	"github.com/google/cel-go/common/operators"
)

// Conditions of templates nearly all compare a variable with a text, or join such comparisons. CEL takes longer to count
// what that costs than it takes to do, so it's done here. None of it can fail.

// plain is the value of such an expression: string, int64 or bool.
type plain func(*vars) any

// plainOf is nil for all other expressions, which are CEL's.
func plainOf(e ast.Expr, references map[int64]*ast.ReferenceInfo) plain {
	switch e.Kind() {
	case ast.LiteralKind:
		return plainLiteral(e.AsLiteral().Value())
	case ast.IdentKind, ast.SelectKind:
		if reference := references[e.ID()]; reference != nil {
			return plainVariable(variableNamed(reference.Name))
		}
	case ast.CallKind:
		var args []plain
		for _, arg := range e.AsCall().Args() {
			p := plainOf(arg, references)
			if p == nil {
				return nil
			}
			args = append(args, p)
		}
		return plainCall(e.AsCall().FunctionName(), args)
	}
	return nil
}

func plainLiteral(value any) plain {
	switch value.(type) {
	case string, int64, bool:
		return func(*vars) any { return value }
	}
	return nil
}

func plainVariable(v *variable) plain {
	if v == nil {
		return nil
	}
	switch v.typ.Kind() {
	case cel.StringKind, cel.IntKind, cel.BoolKind:
		return v.get
	}
	return nil
}

// plainCall relies on the checker: both sides of a comparison are of one type, and what is joined is bool.
func plainCall(name string, args []plain) plain {
	switch name {
	case operators.Equals:
		return func(v *vars) any { return args[0](v) == args[1](v) }
	case operators.NotEquals:
		return func(v *vars) any { return args[0](v) != args[1](v) }
	case operators.LogicalNot:
		return func(v *vars) any { return args[0](v) != true }
	case operators.LogicalAnd:
		return func(v *vars) any {
			return !slices.ContainsFunc(args, func(arg plain) bool { return arg(v) != true })
		}
	case operators.LogicalOr:
		return func(v *vars) any {
			return slices.ContainsFunc(args, func(arg plain) bool { return arg(v) == true })
		}
	}
	return nil
}
