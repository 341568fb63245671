package cluster

import (
	"context"
	"errors"

	"github.com/pillion-mesh/pillion/test/cluster/progress"
)

// Reboot is a power cut: every process of the node ends at once, etcd, API server and all pods among them, and the same
// node starts again on the disk it had. The API server has the same address and the same objects. Only where there is a
// node. It returns when the node could run pods again; those of before may still be on their way.
func (c *Cluster) Reboot(ctx context.Context, p *progress.Printer) error {
	if c.Record.APIOnly {
		return errors.New("only a node can be cut off its power; this cluster is an API server alone")
	}
	lock, err := c.Dir.Change(ctx)
	if err != nil {
		return err
	}
	defer lock.Release()
	if err := c.Record.Init.Kill(killTimeout); err != nil {
		return err
	}
	if err := nodeGone(ctx, c.Dir, c.Record); err != nil {
		return err
	}
	o := Options{
		Name: c.Record.Name, CertManager: c.Record.CertManager, DualStack: c.Record.DualStack,
		FeatureGates: c.Record.FeatureGates, ForTests: c.Record.ForTests,
	}
	layout, program, err := prepare(ctx, o, c.Dir, p)
	if err != nil {
		return err
	}
	layout.Again = true
	if err := start(ctx, o, layout, c.Record.Server, program, p); err != nil {
		return err
	}
	c.Record, err = c.Dir.Read()
	return err
}
