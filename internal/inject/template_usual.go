package inject

import (
	"context"
	"errors"
)

// Most pods change no setting: for them, whatever depends on settings alone is finished when the template is compiled.

// settle finds what a node is for such pods, and whether that can be known. usual has the Injector's settings and no pod.
func (n *tnode) settle(ctx context.Context, usual *vars) bool {
	if n.fixed != nil {
		return true
	}
	known := n.settled()
	for i := range n.members {
		known = n.members[i].node.settle(ctx, usual) && known
	}
	for _, item := range n.items {
		known = item.settle(ctx, usual) && known
	}
	if !known {
		return false
	}
	value, err := n.render(ctx, usual)
	switch {
	case errors.Is(err, errNone):
		n.drops = true
	case err != nil:
		return false // it is told of a pod
	default:
		n.usual = value.Freeze()
	}
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

// none is errNone for a node that usually drops out.
func (n *tnode) none() error {
	if n.drops {
		return errNone
	}
	return nil
}
