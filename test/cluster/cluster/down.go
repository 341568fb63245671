package cluster

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"github.com/pillion-mesh/pillion/test/cluster/state"
)

const killTimeout = 10 * time.Second

// remove ends what runs and removes what is left, in any state. Nobody is asked politely: an API server with open
// watches takes up to a minute. It runs under the cluster's Change lock.
func remove(ctx context.Context, dir state.Dir) error {
	if !dir.Exists() {
		return nil
	}
	record, err := dir.Read()
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w; if no such cluster runs, remove %s", err, dir)
	}
	if err := record.Init.Kill(killTimeout); err != nil {
		return err
	}
	if record.APIOnly {
		err = killComponents(dir)
	} else {
		err = nodeGone(ctx, dir, record)
	}
	if err != nil {
		return err
	}
	if err := os.RemoveAll(string(dir)); err != nil {
		return fmt.Errorf("removing the state folder: %w", err)
	}
	return nil
}

// killComponents ends what outlived init; on Linux the kernel does that too. On a node the pids would be those inside.
func killComponents(dir state.Dir) error {
	components, err := dir.Components()
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, c := range components {
		if err := c.Process.Kill(killTimeout); err != nil {
			return fmt.Errorf("ending %s: %w", c.Name, err)
		}
	}
	return nil
}
