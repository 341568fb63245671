package cluster

import (
	"context"
	"path/filepath"

	"github.com/pillion-mesh/pillion/test/cluster/binary"
	"github.com/pillion-mesh/pillion/test/cluster/component"
	"github.com/pillion-mesh/pillion/test/cluster/images"
	"github.com/pillion-mesh/pillion/test/cluster/progress"
	"github.com/pillion-mesh/pillion/test/cluster/state"
)

// prepare finds and builds all programs and images.
func prepare(ctx context.Context, o Options, dir state.Dir, p *progress.Printer) (component.Layout, string, error) {
	layout := component.Layout{
		Dir: dir, APIOnly: o.APIOnly, DualStack: o.DualStack, FeatureGates: o.FeatureGates,
		// Without it nothing collects a deleted Certificate's requests, and the next of that name is never issued.
		ControllerManager: o.ControllerManager || o.CertManager || !o.APIOnly,
	}
	wanted := binary.ForAPI()
	if !o.APIOnly {
		wanted = binary.ForNode()
	}
	var err error
	if layout.Programs, err = binary.Find(wanted); err != nil {
		return layout, "", err
	}
	if err := dir.Create(); err != nil {
		return layout, "", err
	}
	program, err := build(ctx, o, &layout, p)
	if err != nil {
		return layout, "", err
	}
	if o.APIOnly {
		layout.Ports, err = freePorts()
		return layout, program, err
	}
	layout.Ports = component.NodePorts()
	layout.CNIFolder = filepath.Dir(layout.Programs["host-local"])
	return layout, program, pauseImage(ctx, dir)
}

// build is done by one program at a time, whatever clusters they want. It fills in what it built and returns the
// program that runs as init.
func build(ctx context.Context, o Options, layout *component.Layout, p *progress.Printer) (string, error) {
	root, err := binary.Root(ctx)
	if err != nil {
		return "", err
	}
	cache, err := binary.Cache()
	if err != nil {
		return "", err
	}
	lock, err := state.Exclusive(ctx, filepath.Join(cache, "build.lock"))
	if err != nil {
		return "", err
	}
	defer lock.Release()
	if layout.Kube, err = binary.Kube(ctx, root, p); err != nil {
		return "", err
	}
	if o.CertManager {
		if layout.CertManager, layout.CertManagerCRDs, err = binary.CertManager(ctx, root, p); err != nil {
			return "", err
		}
	}
	if o.Program != "" {
		return o.Program, nil
	}
	program := filepath.Join(cache, "cluster")
	return program, binary.Build(ctx, root, program, "./test/cluster")
}

func pauseImage(ctx context.Context, dir state.Dir) error {
	image, err := images.Pause(ctx)
	if err != nil {
		return err
	}
	return images.WriteArchive(dir.Path("pause.tar"), image)
}
