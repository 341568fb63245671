package inject

import (
	"reflect"
	"strings"

	"github.com/google/cel-go/cel"
	yaml "go.yaml.in/yaml/v3"

	"github.com/pillion-mesh/pillion/internal/inject/rawjson"
)

func (c *compiler) mapping(n *yaml.Node, t reflect.Type, path string) *tnode {
	t = deref(t)
	if isLeaf(t) || t.Kind() != reflect.Struct && t.Kind() != reflect.Map {
		c.fail(n, "%s wants %s, this is a mapping", place(path), typeName(t))
		return &tnode{}
	}
	node := &tnode{kind: rawjson.Object}
	seen := map[string]bool{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		if !c.key(key, path, seen) {
			continue
		}
		if key.Value == "$if" {
			node.cond = c.condition(value, path)
			continue
		}
		c.member(node, key, value, t, path)
	}
	return c.fold(node, len(node.members), func(i int) *tnode { return node.members[i].node })
}

func (c *compiler) key(key *yaml.Node, path string, seen map[string]bool) bool {
	switch {
	case key.Kind != yaml.ScalarNode || key.Tag == "!!merge" || key.Anchor != "":
		c.fail(key, "%s: want a plain field name", place(path))
	case strings.Contains(key.Value, "${"):
		c.fail(key, "%s: a field name can't hold a placeholder", place(path))
	case seen[key.Value]:
		c.fail(key, "%s is there twice", join(path, key.Value))
	default:
		seen[key.Value] = true
		return true
	}
	return false
}

func (c *compiler) member(node *tnode, key, value *yaml.Node, t reflect.Type, path string) {
	at := join(path, key.Value)
	child, ok := fieldType(t, key.Value)
	if !ok {
		message := at + ": unknown field"
		if near := nearestOf(key.Value, fieldNames(t)); near != "" {
			message += "; did you mean " + near + "?"
		}
		c.fail(key, "%s", message)
		return
	}
	compiled := c.node(value, child, at, false)
	if path == "" && (key.Value == "apiVersion" || key.Value == "kind") {
		return // every pod has them
	}
	node.members = append(node.members, tmember{key.Value, compiled})
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

func nearestOf(name string, names []string) string {
	best, bestDistance := "", 3
	for _, other := range names {
		if d := distance(strings.ToLower(name), strings.ToLower(other)); d < bestDistance {
			best, bestDistance = other, d
		}
	}
	return best
}

func (c *compiler) condition(n *yaml.Node, path string) *expression {
	e := c.lone(n, path+".$if")
	if e != nil && (e.typ.Kind() != cel.BoolKind || e.optional) {
		c.fail(n, "%s.$if wants bool, expression gives %s", place(path), celName(e.typ))
	}
	return e
}

// lone compiles a scalar that has to be one placeholder and nothing else.
func (c *compiler) lone(n *yaml.Node, path string) *expression {
	parts, err := splitPlaceholders(n.Value)
	if err != nil || n.Kind != yaml.ScalarNode || len(parts) != 1 || !parts[0].isExpr {
		c.fail(n, "%s wants one placeholder, such as ${capture.enabled}", place(path))
		return nil
	}
	return c.expression(n, parts[0], path)
}
