package inject

import (
	"errors"
	"reflect"
	"strconv"

	"github.com/google/cel-go/cel"
	yaml "go.yaml.in/yaml/v3"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/pillion-mesh/pillion/internal/inject/rawjson"
)

// scalar compiles a scalar: a literal, one placeholder (of any type), or text with placeholders in it.
func (c *compiler) scalar(n *yaml.Node, t reflect.Type, path string, inList bool) *tnode {
	t = deref(t)
	parts, err := splitPlaceholders(n.Value)
	if err != nil {
		c.celFault(n, 0, path, err)
		return &tnode{}
	}
	switch {
	case len(parts) == 1 && !parts[0].isExpr:
		return c.literal(n, t, path, parts[0].literal)
	case len(parts) == 1:
		return c.placeholder(n, t, path, parts[0], inList)
	}
	return c.text(n, t, path, parts)
}

func (c *compiler) literal(n *yaml.Node, t reflect.Type, path, text string) *tnode {
	tag := n.ShortTag()
	value, ok := literalValue(t, tag, text)
	if !ok {
		what := map[string]string{"!!str": "a string", "!!int": "an integer", "!!float": "a number", "!!bool": "a boolean", "!!null": "empty"}[tag]
		hint := ""
		if t.Kind() == reflect.String && tag != "!!null" {
			hint = "; put it in quotes"
		}
		if what == "" {
			what = "of tag " + tag
		}
		c.fail(n, "%s wants %s, %q is %s%s", place(path), typeName(t), cut(text, 60), what, hint)
	}
	return &tnode{fixed: value}
}

// literalValue reads a literal as the API would, and spells quantities as the API server will spell them.
func literalValue(t reflect.Type, tag, text string) (*rawjson.Value, bool) {
	switch {
	case t == quantityType:
		if !plainQuantity(text) || tag == "!!null" {
			return nil, false
		}
		q, err := resource.ParseQuantity(text)
		return rawjson.NewString(q.String()), err == nil
	case t == intOrStringType && tag == "!!int", t.Kind() == reflect.Int32, t.Kind() == reflect.Int64:
		bits := 32
		if t.Kind() == reflect.Int64 {
			bits = 64
		}
		i, err := strconv.ParseInt(text, 0, bits)
		return rawjson.NewScalar(rawjson.Number, strconv.FormatInt(i, 10)), err == nil && tag == "!!int"
	case t == intOrStringType, t == timeType, t.Kind() == reflect.String:
		return rawjson.NewString(text), tag == "!!str"
	case t.Kind() == reflect.Bool:
		b, err := strconv.ParseBool(text)
		return rawjson.NewBool(b), err == nil && tag == "!!bool"
	}
	return nil, false
}

func (c *compiler) placeholder(n *yaml.Node, t reflect.Type, path string, p part, inList bool) *tnode {
	e := c.expression(n, p, path)
	if e == nil {
		return &tnode{}
	}
	node := &tnode{expr: e}
	if !assignable(e.typ, t) {
		node.splice = inList && e.typ.Kind() == cel.ListKind && assignable(e.typ, reflect.SliceOf(t))
		if !node.splice {
			c.fail(n, "%s wants %s, expression gives %s", place(path), typeName(t), celName(e.typ))
			return node
		}
	}
	if !e.fixed || e.optional || node.splice {
		return node
	}
	value, err := e.value(c.ctx, c.fixed)
	if err != nil {
		c.fail(n, "%s: %v", place(path), err)
		return node
	}
	if dynamic(e.typ) && inList && value.Kind() == rawjson.List && t.Kind() != reflect.Slice {
		node.splice, t = true, reflect.SliceOf(t)
	}
	if err := fits(value, t, place(path)); dynamic(e.typ) && err != nil {
		c.fail(n, "%v", err)
	}
	if node.splice {
		return node
	}
	return &tnode{fixed: value.Freeze()}
}

func (c *compiler) text(n *yaml.Node, t reflect.Type, path string, parts []part) *tnode {
	if t.Kind() != reflect.String && t != quantityType && t != intOrStringType {
		c.fail(n, "%s wants %s; text around a placeholder makes a string", place(path), typeName(t))
		return &tnode{}
	}
	node := &tnode{}
	for _, p := range parts {
		if !p.isExpr {
			node.addText(textPart{literal: p.literal})
			continue
		}
		e := c.expression(n, p, path)
		if e == nil {
			continue
		}
		switch e.typ.Kind() {
		case cel.StringKind, cel.IntKind, cel.UintKind, cel.DoubleKind, cel.BoolKind, cel.DynKind:
		default:
			c.fail(n, "%s: inside a text want string, int, uint, double or bool, expression gives %s", place(path), celName(e.typ))
			continue
		}
		if e.optional {
			c.fail(n, "%s: inside a text an expression can't be optional; use orValue('')", place(path))
			continue
		}
		node.addText(c.foldText(n, path, e))
	}
	if len(node.parts) == 1 && node.parts[0].expr == nil {
		return &tnode{fixed: rawjson.NewString(node.parts[0].literal)}
	}
	return node
}

func (c *compiler) foldText(n *yaml.Node, path string, e *expression) textPart {
	if !e.fixed {
		return textPart{expr: e}
	}
	text, err := e.text(c.ctx, c.fixed)
	if err != nil {
		c.fail(n, "%s: %v", place(path), err)
	}
	return textPart{literal: text}
}

// addText joins literals that folding left side by side.
func (n *tnode) addText(p textPart) {
	if last := len(n.parts) - 1; p.expr == nil && last >= 0 && n.parts[last].expr == nil {
		n.parts[last].literal += p.literal
		return
	}
	n.parts = append(n.parts, p)
}

func (c *compiler) expression(n *yaml.Node, p part, path string) *expression {
	if err := c.ctx.Err(); err != nil {
		c.fail(n, "%s: %v", place(path), err) // compile tells it as a TimeoutError
		return nil
	}
	e, err := compileExpression(c.env, p.source, c.bounds)
	if err != nil {
		c.celFault(n, p.offset, path, err)
		return nil
	}
	c.captures = c.captures || e.captures
	return e
}

// celFault reports an expression's fault where it is in the template. Offsets hold for scalars on one line without
// escapes, which nearly all are; for others the scalar's start is close enough.
func (c *compiler) celFault(n *yaml.Node, offset int, path string, err error) {
	line, column := n.Line, n.Column
	var fault *celError
	if errors.As(err, &fault) && n.Style&(yaml.LiteralStyle|yaml.FoldedStyle) == 0 && fault.line <= 0 {
		column += offset + fault.column
		if n.Style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle) != 0 {
			column++
		}
	}
	c.failAt(line, column, "%s: %v", place(path), err)
}
