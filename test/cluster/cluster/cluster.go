// Package cluster brings a test cluster up, joins it and takes it down, for the command test/cluster, for tests (by way
// of testenv) and for the demo. In: Options. Out: a Cluster, or nothing left. Start here; up.go starts and waits,
// init.go is what runs inside, down.go removes.
package cluster

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"time"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/pillion-mesh/pillion/test/cluster/progress"
	"github.com/pillion-mesh/pillion/test/cluster/state"
)

// Options say which cluster is wanted. The zero value is the node cluster called "node".
type Options struct {
	Name              string // "": by mode, see DefaultName
	APIOnly           bool   // etcd and API server as plain processes; no root, nothing runs pods
	ControllerManager bool   // with APIOnly: the controller manager too
	CertManager       bool   // cert-manager's controllers and CA injector, and with APIOnly the controller manager
	DualStack         bool   // IPv4 and IPv6 for pods and services
	FeatureGates      string // Name=true,… for every component
	ForTests          bool   // started by a test: the last one that uses it takes it down
	Program           string // the test/cluster command, which runs as init; "": built from this checkout
}

// ErrNeedsRoot is returned where a node is asked for by a user who can't make namespaces.
var ErrNeedsRoot = errors.New("a node needs root: run it with sudo, or use --api-only, which runs no pods")

// ErrNotRunning is returned where a running cluster is asked for and there is none.
var ErrNotRunning = errors.New("not running")

// DefaultName is the name of clusters nobody gave one.
func (o Options) DefaultName() string {
	switch {
	case o.Name != "":
		return o.Name
	case o.APIOnly && o.CertManager:
		return "api-cert-manager"
	case o.CertManager:
		return "node-cert-manager"
	case o.APIOnly && o.ControllerManager:
		return "api-controllers"
	case o.APIOnly:
		return "api"
	}
	return "node"
}

// misfit says why a running cluster isn't what o asks for; "" if it is. More than was asked for fits.
func (o Options) misfit(r state.Record) string {
	switch {
	case o.APIOnly != r.APIOnly:
		return fmt.Sprintf("it runs with api-only=%t", r.APIOnly)
	case o.APIOnly && o.ControllerManager && !r.ControllerManager:
		return "it runs without the controller manager"
	case o.CertManager && !r.CertManager:
		return "it runs without cert-manager"
	case o.DualStack && !r.DualStack:
		return "it runs without IPv6"
	case o.FeatureGates != r.FeatureGates:
		return fmt.Sprintf("it runs with feature gates %q", r.FeatureGates)
	}
	return ""
}

// Cluster is a running test cluster.
type Cluster struct {
	Dir    state.Dir
	Record state.Record
	Config *rest.Config // the administrator's
}

// Kubeconfig is the path of the administrator's kubeconfig.
func (c *Cluster) Kubeconfig() string { return c.Dir.Kubeconfig() }

// Open returns the running cluster called name, or ErrNotRunning.
func Open(ctx context.Context, name string) (*Cluster, error) {
	dir, err := state.For(name)
	if err != nil {
		return nil, err
	}
	record, err := dir.Read()
	if errors.Is(err, fs.ErrNotExist) || err == nil && (!record.Ready || !record.Init.Alive()) {
		return nil, fmt.Errorf("cluster %q: %w; start it with `go run ./test/cluster up` and the same flags", name, ErrNotRunning)
	}
	if err != nil {
		return nil, err
	}
	config, err := adminConfig(dir)
	if err != nil {
		return nil, err
	}
	c := &Cluster{Dir: dir, Record: record, Config: config}
	if err := ready(ctx, config); err != nil {
		return nil, fmt.Errorf("cluster %q runs but its API server isn't ready (%w): %w", name, err, ErrNotRunning)
	}
	return c, nil
}

// Down ends the cluster called name and removes everything of it. It's no error if there is none.
func Down(ctx context.Context, name string, p *progress.Printer) error {
	dir, err := state.For(name)
	if err != nil {
		return err
	}
	lock, err := dir.Change(ctx)
	if err != nil {
		return err
	}
	defer lock.Remove()
	if err := p.Step("down "+name, func(func(string)) error { return remove(ctx, dir) }); err != nil {
		return err
	}
	use, err := dir.Use(ctx)
	if err != nil {
		return err
	}
	leaveNothing(use) // if it isn't the last, a test will find its cluster gone
	return nil
}

// Clean does that for every cluster of this machine, whatever state it's in.
func Clean(ctx context.Context, p *progress.Printer) error {
	names, err := state.All()
	if err != nil {
		return err
	}
	var failed []error
	for _, name := range names {
		failed = append(failed, Down(ctx, name, p))
	}
	return errors.Join(failed...)
}

// adminConfig raises the client's limits: tests make many requests and wait for each.
func adminConfig(dir state.Dir) (*rest.Config, error) {
	config, err := clientcmd.BuildConfigFromFlags("", dir.Kubeconfig())
	if err != nil {
		return nil, fmt.Errorf("reading the cluster's kubeconfig: %w", err)
	}
	config.QPS, config.Burst = 500, 1000
	config.WarningHandler = rest.NoWarnings{}
	return config, nil
}

// ready is one request for /readyz.
func ready(ctx context.Context, config *rest.Config) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	client, err := rest.HTTPClientFor(config)
	if err != nil {
		return fmt.Errorf("making a client: %w", err)
	}
	return get(ctx, client, config.Host+"/readyz")
}

func get(ctx context.Context, client *http.Client, url string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answers %s", url, response.Status)
	}
	return nil
}
