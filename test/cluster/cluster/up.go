package cluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/pillion-mesh/pillion/test/cluster/progress"
	"github.com/pillion-mesh/pillion/test/cluster/state"
)

// startTimeout bounds everything after the programs are built.
const startTimeout = 2 * time.Minute

// maxPath leaves room for the kubelet's longest socket below the state folder; the kernel takes 107 bytes.
const maxPath = 70

// Up returns the running cluster that fits o, or starts it. Progress goes to w.
func Up(ctx context.Context, o Options, w io.Writer) (*Cluster, error) {
	dir, err := state.For(o.DefaultName())
	if err != nil {
		return nil, err
	}
	lock, err := dir.Change(ctx)
	if err != nil {
		return nil, err
	}
	c, err := up(ctx, o, dir, progress.New(w))
	release(lock, dir)
	return c, err
}

// release leaves no lock file where there's no cluster.
func release(lock *state.Lock, dir state.Dir) {
	if dir.Exists() {
		lock.Release()
		return
	}
	lock.Remove()
}

// Join is Up for a test: the returned function gives the cluster back and, if no other test uses it and it was started
// by one, takes it down.
func Join(ctx context.Context, o Options, w io.Writer) (*Cluster, func(context.Context) error, error) {
	o.ForTests = true
	dir, err := state.For(o.DefaultName())
	if err != nil {
		return nil, nil, err
	}
	change, err := dir.Change(ctx)
	if err != nil {
		return nil, nil, err
	}
	defer func() { release(change, dir) }()
	use, err := dir.Use(ctx)
	if err != nil {
		return nil, nil, err
	}
	c, err := up(ctx, o, dir, progress.New(w))
	if err != nil {
		leaveNothing(use)
		return nil, nil, err
	}
	return c, func(ctx context.Context) error { return leave(ctx, dir, use) }, nil
}

func leave(ctx context.Context, dir state.Dir, use *state.Lock) error {
	change, err := dir.Change(ctx)
	if err != nil {
		use.Release()
		return err
	}
	defer func() { release(change, dir) }()
	if !leaveNothing(use) {
		return nil
	}
	if record, err := dir.Read(); err == nil && !record.ForTests {
		return nil
	}
	return remove(ctx, dir)
}

// leaveNothing gives the user's lock up and says whether it was the last. It runs under the Change lock, so nobody
// joins meanwhile.
func leaveNothing(use *state.Lock) bool {
	if use.Last() {
		use.Remove()
		return true
	}
	use.Release()
	return false
}

// up runs under the cluster's Change lock.
func up(ctx context.Context, o Options, dir state.Dir, p *progress.Printer) (*Cluster, error) {
	c, err := running(ctx, o, dir)
	if err != nil || c != nil {
		return c, err
	}
	if !o.APIOnly {
		if err := nodePossible(dir, os.Geteuid()); err != nil {
			return nil, err
		}
	}
	if err := remove(ctx, dir); err != nil {
		return nil, err
	}
	layout, program, err := prepare(ctx, o, dir, p)
	if err != nil {
		return nil, err
	}
	if err := start(ctx, o, layout, layout.Server(), program, p); err != nil {
		if o.ForTests { // otherwise the logs stay for whoever reads the error, until the next up, down or clean
			err = errors.Join(err, remove(context.WithoutCancel(ctx), dir))
		}
		return nil, err
	}
	return Open(ctx, dir.Name())
}

// running returns the healthy cluster that fits, nil if there is none, or an error if another is in the way.
func running(ctx context.Context, o Options, dir state.Dir) (*Cluster, error) {
	c, err := Open(ctx, dir.Name())
	if errors.Is(err, ErrNotRunning) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if why := o.misfit(c.Record); why != "" {
		return nil, fmt.Errorf("cluster %q is up but doesn't fit: %s; take it down first: go run ./test/cluster down --name %s",
			dir.Name(), why, dir.Name())
	}
	if c.Record.ForTests && !o.ForTests {
		c.Record.ForTests = false // somebody wants it to stay
		if err := dir.Write(c.Record); err != nil {
			return nil, err
		}
	}
	return c, nil
}

func nodePossible(dir state.Dir, user int) error {
	if user != 0 {
		return ErrNeedsRoot
	}
	for _, hidden := range []string{"/run", "/var/run", "/var/lib", "/var/log", "/proc", "/sys"} {
		if strings.HasPrefix(string(dir), hidden+"/") {
			return fmt.Errorf("state folder %s: the node has a %s of its own; set %s to another folder", dir, hidden, state.BaseEnv)
		}
	}
	if len(dir) > maxPath {
		return fmt.Errorf("state folder %s: the paths of sockets in it become too long; set %s to a shorter one", dir, state.BaseEnv)
	}
	return nil
}
