package inject

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strings"

	"github.com/google/cel-go/cel"
	yaml "go.yaml.in/yaml/v3"

	"github.com/pillion-mesh/pillion/api/v1alpha1"
	"github.com/pillion-mesh/pillion/internal/inject/rawjson"
)

// template is one compiled template: a tree in which what no pod can change is finished JSON. render.go evaluates it.
type template struct {
	name     string
	root     *tnode
	captures bool // it leads traffic into the proxy
}

// tnode is one place of a template. Exactly one of fixed, expr, parts, members and items says what stands there.
type tnode struct {
	fixed   *rawjson.Value
	expr    *expression // its value, of its own type
	splice  bool        // expr gives a list that becomes items of the list it stands in
	parts   []textPart  // a text with expressions in it
	members []tmember
	items   []*tnode
	kind    rawjson.Kind
	cond    *expression // $if

	usual [2]usual // what stands here for pods that change no setting: with a classic proxy, with a native one
}

type tmember struct {
	key  string
	node *tnode
}

type textPart struct {
	literal string
	expr    *expression
}

// maxErrors bounds what a status shows of one broken template.
const maxErrors = 16

// compiler turns YAML into a template and collects what is wrong with it.
type compiler struct {
	ctx    context.Context // of the whole Injector
	env    *cel.Env
	fixed  *vars // what is known without a pod
	bounds bounds
	errors []v1alpha1.TemplateError

	captures bool // an expression does
}

// compileTemplate reads a partial Pod in YAML. A template with errors is nil.
func compileTemplate(ctx context.Context, env *cel.Env, fixed *vars, name, text string) (*template, []v1alpha1.TemplateError) {
	c := &compiler{ctx: ctx, env: env, fixed: fixed, bounds: fixed.program.boundsOf(name)}
	root := c.document(text)
	if len(c.errors) > 0 {
		return nil, c.errors
	}
	for _, native := range [2]bool{false, true} {
		fixed.settings.native = native
		root.settle(ctx, fixed)
	}
	return &template{name: name, root: root, captures: c.captures}, nil
}

func (c *compiler) fail(n *yaml.Node, format string, args ...any) {
	c.failAt(n.Line, n.Column, format, args...)
}

func (c *compiler) failAt(line, column int, format string, args ...any) {
	if len(c.errors) < maxErrors {
		c.errors = append(c.errors, v1alpha1.TemplateError{
			Line: int32(line), Column: int32(column), Message: cut(fmt.Sprintf(format, args...), 2*shown),
		})
	}
}

func (c *compiler) document(text string) *tnode {
	decoder := yaml.NewDecoder(bytes.NewReader([]byte(text)))
	var doc, second yaml.Node
	if err := decoder.Decode(&doc); err != nil {
		if errors.Is(err, io.EOF) {
			c.failAt(1, 1, "the template is empty; want a partial Pod in YAML")
			return nil
		}
		line, message := yamlError(err)
		c.failAt(line, 0, "%s", message)
		return nil
	}
	if err := decoder.Decode(&second); !errors.Is(err, io.EOF) {
		c.failAt(1, 1, "the template has more than one document; want one partial Pod")
		return nil
	}
	if len(doc.Content) != 1 || doc.Content[0].Kind != yaml.MappingNode {
		c.failAt(1, 1, "the template is no mapping; want a partial Pod in YAML")
		return nil
	}
	return c.node(doc.Content[0], reflect.TypeFor[podTemplate](), "", false)
}

// yamlError takes the line out of yaml's message, the only place that has it.
func yamlError(err error) (line int, message string) {
	message = strings.TrimPrefix(err.Error(), "yaml: ")
	if n, scanErr := fmt.Sscanf(message, "line %d:", &line); n == 1 && scanErr == nil {
		_, message, _ = strings.Cut(message, ": ")
	}
	return line, message
}

// node compiles what stands at path, which must fit type t. inList says that lists are spliced.
func (c *compiler) node(n *yaml.Node, t reflect.Type, path string, inList bool) *tnode {
	if n.Anchor != "" || n.Kind == yaml.AliasNode {
		c.fail(n, "%s: anchors and aliases aren't supported; write it out", place(path))
		return &tnode{}
	}
	switch n.Kind {
	case yaml.MappingNode:
		return c.mapping(n, t, path)
	case yaml.SequenceNode:
		return c.sequence(n, t, path)
	}
	return c.scalar(n, t, path, inList)
}

func place(path string) string {
	if path == "" {
		return "the template"
	}
	return path
}

func (c *compiler) sequence(n *yaml.Node, t reflect.Type, path string) *tnode {
	t = deref(t)
	if t.Kind() != reflect.Slice {
		c.fail(n, "%s wants %s, this is a list", place(path), typeName(t))
		return &tnode{}
	}
	node := &tnode{kind: rawjson.List}
	for i, item := range n.Content {
		node.items = append(node.items, c.node(item, t.Elem(), fmt.Sprintf("%s[%d]", path, i), true))
	}
	return c.fold(node, len(node.items), func(i int) *tnode { return node.items[i] })
}

// fold turns a mapping or list into finished JSON if all of it is finished.
func (c *compiler) fold(node *tnode, n int, child func(int) *tnode) *tnode {
	if node.cond != nil || len(c.errors) > 0 {
		return node
	}
	for i := range n {
		if child(i).fixed == nil {
			return node
		}
	}
	if node.kind == rawjson.List {
		items := make([]*rawjson.Value, n)
		for i := range items {
			items[i] = child(i).fixed
		}
		return &tnode{fixed: rawjson.NewList(items...).Freeze()}
	}
	members := make([]rawjson.Member, n)
	for i, m := range slices.All(node.members) {
		members[i] = rawjson.Member{Key: m.key, Value: m.node.fixed}
	}
	return &tnode{fixed: rawjson.NewObject(members...).Freeze()}
}
