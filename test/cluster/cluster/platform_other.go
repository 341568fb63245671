//go:build !linux

package cluster

import (
	"context"
	"errors"
	"net"
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

func containerPID(string) int { return 0 }

func listenInNode(state.Record) (net.Listener, error) { return nil, errLinuxOnly }
