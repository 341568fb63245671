//go:build !linux

package cluster

import (
	"context"
	"errors"
	"syscall"

	"github.com/pillion-mesh/pillion/test/cluster/state"
)

var errLinuxOnly = errors.New("a node runs on Linux only; use --api-only")

func initAttributes(bool) *syscall.SysProcAttr { return &syscall.SysProcAttr{Setsid: true} }

func namespaceInode(int) uint64 { return 0 }

func nodeGone(context.Context, state.Dir, state.Record) error { return nil }

func (i *boot) startNode(context.Context) error { return errLinuxOnly }

func outsidePID(state.Record, int) int { return 0 }

func snapshotterFor(state.Dir) string { return "native" }
