package inject

import (
	"fmt"
	"slices"
	"strings"

	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/common/ast"
)

// CEL takes each dotted name whole, so of pod.nmae it only says that it doesn't know "pod". What follows says which name
// that was, and the nearest there is.

// misspelt finds the first name of an expression that no variable has; nil if that isn't what is wrong with it.
func misspelt(env *cel.Env, source string) *celError {
	parsed, issues := env.Parse(unreserve(source))
	if issues.Err() != nil {
		return nil //nolint:nilerr // CEL says what
	}
	native := parsed.NativeRep()
	names := usedNames(native.Expr())
	for _, n := range names {
		if message := unknownName(n.path); message != "" {
			at := native.SourceInfo().GetStartLocation(n.root)
			return &celError{line: at.Line() - 1, column: at.Column(), message: message}
		}
	}
	return nil
}

// usedName is a dotted name as an expression has it, and the node of its first word.
type usedName struct {
	path string
	root int64
}

// usedNames are those that aren't a loop's own, in the order of the text.
func usedNames(root ast.Expr) (names []usedName) {
	within, own := map[int64]bool{}, map[string]bool{}
	ast.PreOrderVisit(root, ast.NewExprVisitor(func(e ast.Expr) {
		if e.Kind() == ast.ComprehensionKind {
			c := e.AsComprehension()
			own[c.IterVar()], own[c.IterVar2()], own[c.AccuVar()] = true, true, true
		}
		path, first := dotted(e)
		if path == "" || within[e.ID()] {
			return
		}
		for s := e; s.Kind() == ast.SelectKind; {
			s = s.AsSelect().Operand()
			within[s.ID()] = true
		}
		names = append(names, usedName{path, first})
	}))
	names = slices.DeleteFunc(names, func(n usedName) bool { return own[firstOf(n.path)] })
	slices.SortStableFunc(names, func(a, b usedName) int { return int(a.root - b.root) }) // the parser counts as it reads
	return names
}

func firstOf(path string) string {
	first, _, _ := strings.Cut(path, ".")
	return first
}

// dotted is the name that an expression consists of, and the node of its first word; "" if it is something else.
func dotted(e ast.Expr) (path string, root int64) {
	switch e.Kind() {
	case ast.IdentKind:
		return e.AsIdent(), e.ID()
	case ast.SelectKind:
		if path, root = dotted(e.AsSelect().Operand()); path != "" {
			return path + "." + e.AsSelect().FieldName(), root
		}
	}
	return "", 0
}

// unknownName says what is wrong with a name; "" if a variable has it, or has its beginning: then it is a field of that.
func unknownName(path string) string {
	if rest, ok := strings.CutPrefix(path, "Namespace"); ok {
		path = "namespace" + rest
	}
	var all []string
	for i := range variables {
		name := variables[i].name
		if path == name || strings.HasPrefix(path, name+".") {
			return ""
		}
		if strings.HasPrefix(name, path+".") {
			return fmt.Sprintf("%s is no value by itself; name a field of it, such as %s", path, name)
		}
		all = append(all, name)
	}
	if slices.Contains(celTypes, firstOf(path)) {
		return ""
	}
	message := fmt.Sprintf("%s: there is no such variable", cut(path, shown))
	if near := nearestName(path, all); near != "" {
		message += fmt.Sprintf("; did you mean %s?", near)
	}
	return message
}

// nearestName is the variable that a name, or its beginning, is nearly.
func nearestName(path string, all []string) string {
	words := strings.Split(path, ".")
	for n := len(words); n > 0; n-- {
		if near := nearestOf(strings.Join(words[:n], "."), all); near != "" {
			return strings.Join(append([]string{near}, words[n:]...), ".")
		}
	}
	return ""
}

// celTypes are names that CEL itself has: of types, as in type(x) == string.
var celTypes = []string{
	"bool", "bytes", "double", "dyn", "int", "list", "map", "null_type", "optional_type", "string", "type", "uint", "optional",
}
