package inject

import (
	"context"
	"errors"
	"fmt"

	"github.com/pillion-mesh/pillion/internal/inject/rawjson"
)

// render evaluates a template for one pod: the overlay to merge.
func (t *template) render(ctx context.Context, v *vars) (*rawjson.Value, error) {
	overlay, err := t.root.render(ctx, v)
	if errors.Is(err, errNone) {
		return rawjson.NewObject(), nil
	}
	if err != nil {
		return nil, fmt.Errorf("rendering template %q: %w", t.name, err)
	}
	return overlay, nil
}

// render gives a node's value; errNone if it drops out.
func (n *tnode) render(ctx context.Context, v *vars) (*rawjson.Value, error) {
	if n.fixed != nil {
		return n.fixed, nil
	}
	if usual := n.usually(v.settings); usual.known() && v.settings.usual() {
		return usual.result()
	}
	if n.cond != nil {
		if keep, err := n.cond.value(ctx, v); err != nil {
			return nil, err
		} else if !keep.True() {
			return nil, errNone
		}
	}
	switch {
	case n.expr != nil:
		return n.expr.value(ctx, v)
	case n.parts != nil:
		return n.renderText(ctx, v)
	case n.kind == rawjson.List:
		return n.renderList(ctx, v)
	}
	return n.renderObject(ctx, v)
}

func (n *tnode) renderText(ctx context.Context, v *vars) (*rawjson.Value, error) {
	b := v.room[:0]
	b = append(b, '"')
	for i := range n.parts {
		if n.parts[i].expr == nil {
			b = rawjson.AppendEscaped(b, n.parts[i].literal)
			continue
		}
		text, err := n.parts[i].expr.text(ctx, v)
		if err != nil {
			return nil, err
		}
		b = rawjson.AppendEscaped(b, text)
	}
	return rawjson.NewScalar(rawjson.String, string(append(b, '"'))), nil
}

func (n *tnode) renderObject(ctx context.Context, v *vars) (*rawjson.Value, error) {
	members := make([]rawjson.Member, 0, len(n.members))
	for i := range n.members {
		value, err := n.members[i].node.render(ctx, v)
		if errors.Is(err, errNone) {
			continue
		}
		if err != nil {
			return nil, err
		}
		members = append(members, rawjson.Member{Key: n.members[i].key, Value: value})
	}
	return rawjson.NewObject(members...), nil
}

func (n *tnode) renderList(ctx context.Context, v *vars) (*rawjson.Value, error) {
	items := make([]*rawjson.Value, 0, len(n.items))
	for _, item := range n.items {
		value, err := item.render(ctx, v)
		if errors.Is(err, errNone) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if item.splice {
			items = append(items, value.Items()...)
		} else {
			items = append(items, value)
		}
	}
	return rawjson.NewList(items...), nil
}
