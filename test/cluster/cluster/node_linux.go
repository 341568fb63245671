package cluster

import (
	"context"
	"github.com/pillion-mesh/pillion/test/cluster/state"
)

func (i *boot) startNode(context.Context) error               { return nil }
func nodeGone(context.Context, state.Dir, state.Record) error { return nil }
