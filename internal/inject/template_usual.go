package inject

import (
	"context"
	"errors"

	"github.com/pillion-mesh/pillion/internal/inject/rawjson"
)

// Most pods change no setting: for them, whatever depends on settings alone is finished when the template is compiled.
// Nodes, which say whether the proxy is native, come and go: it is finished for both.

// usual is what a node is for such pods; the zero value says that it isn't known.
type usual struct {
	value *rawjson.Value
	drops bool // instead of having a value
}

func (u *usual) known() bool { return u.value != nil || u.drops }

func (u *usual) result() (*rawjson.Value, error) {
	if u.drops {
		return nil, errNone
	}
	return u.value, nil
}

func (n *tnode) usually(s *settings) *usual {
	if s.native {
		return &n.usual[1]
	}
	return &n.usual[0]
}

// settle finds what a node is for such pods, and whether that can be known. v has the Injector's settings and no pod.
func (n *tnode) settle(ctx context.Context, v *vars) bool {
	if n.fixed != nil {
		return true
	}
	known := n.settled()
	for i := range n.members {
		known = n.members[i].node.settle(ctx, v) && known
	}
	for _, item := range n.items {
		known = item.settle(ctx, v) && known
	}
	if !known {
		return false
	}
	value, err := n.render(ctx, v)
	drops := errors.Is(err, errNone)
	if err != nil && !drops {
		return false // it is told of a pod
	}
	*n.usually(v.settings) = usual{value.Freeze(), drops}
	return true
}

// settled says whether a node's own expressions depend on settings alone.
func (n *tnode) settled() bool {
	for _, part := range n.parts {
		if part.expr != nil && !part.expr.settled {
			return false
		}
	}
	return (n.cond == nil || n.cond.settled) && (n.expr == nil || n.expr.settled)
}
