package cluster

import (
	"context"
	"encoding/json"
	"fmt"
	"log"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
	"k8s.io/client-go/rest"

	"github.com/pillion-mesh/pillion/test/cluster/component"
	"github.com/pillion-mesh/pillion/test/cluster/pki"
	"github.com/pillion-mesh/pillion/test/cluster/progress"
	"github.com/pillion-mesh/pillion/test/cluster/state"
	"github.com/pillion-mesh/pillion/test/cluster/supervise"
)

// startOrder is the first thing init is told.
type startOrder struct {
	Layout component.Layout `json:"layout"`
	Server string           `json:"server"` // the API server's URL for everyone outside
}

// Init is the process all components are children of; on a node it's PID 1 of the node's namespaces. It returns the
// exit code.
func Init() int {
	for fd := fdControl; fd <= fdRelay; fd++ {
		unix.CloseOnExec(fd)
	}
	control := json.NewDecoder(os.NewFile(fdControl, "control"))
	messages := os.NewFile(fdMessages, "messages")
	var order startOrder
	if err := control.Decode(&order); err != nil {
		return 1 // whoever started us is gone before it said what to do
	}
	i := newBoot(order, messages)
	defer i.group.Stop()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	ctx, abandoned := context.WithCancelCause(ctx)
	detached := make(chan struct{})
	go func() { // ends with the control pipe
		var word string
		if err := control.Decode(&word); err != nil {
			abandoned(fmt.Errorf("up ended before the cluster was ready: %w", err))
			return
		}
		close(detached)
	}()
	if err := i.start(ctx); err != nil {
		log.Print(err)
		i.say(message{Error: err.Error()})
		return 1
	}
	i.say(message{Ready: true})
	select {
	case <-detached:
		_ = messages.Close()
		<-ctx.Done()
	case <-ctx.Done():
	}
	return 0
}

// boot is the start of one cluster, inside.
type boot struct {
	component.Layout
	server   string
	group    *supervise.Group
	progress *progress.Printer
	messages *json.Encoder
	started  []state.Component
	api      *supervise.Process // the API server
	config   *rest.Config       // the administrator's, by the address inside
	client   *http.Client
}

func newBoot(order startOrder, messages *os.File) *boot {
	i := &boot{Layout: order.Layout, server: order.Server, messages: json.NewEncoder(messages)}
	i.group = supervise.NewGroup(i.Dir.Log)
	i.progress = progress.New(lineWriter(func(line string) { i.say(message{Line: line}) }))
	return i
}

// say ignores errors: `up` may be gone, which the control pipe tells.
func (i *boot) say(m message) { _ = i.messages.Encode(m) }

type lineWriter func(line string)

func (w lineWriter) Write(b []byte) (int, error) {
	w(string(b[:len(b)-1]))
	return len(b), nil
}

// start is the order of things, in both modes.
func (i *boot) start(ctx context.Context) error {
	if err := i.prepareFiles(); err != nil {
		return err
	}
	startRest := i.startNode
	if i.APIOnly {
		startRest = i.startAPI
	}
	if err := startRest(ctx); err != nil {
		return err
	}
	return i.startCertManager(ctx)
}

// startAPI is API-only mode.
func (i *boot) startAPI(ctx context.Context) error {
	if err := i.startControlPlane(ctx); err != nil {
		return err
	}
	if !i.ControllerManager {
		return nil
	}
	return i.progress.Step("kube-controller-manager", func(note func(string)) error {
		manager, err := i.run(i.ControllerManagerCommand())
		if err != nil {
			return err
		}
		return i.group.Wait(ctx, "ServiceAccount default", manager, note, i.serviceAccount)
	})
}

// startControlPlane starts etcd and API server together: the latter tries again until the former answers.
func (i *boot) startControlPlane(ctx context.Context) error {
	return i.progress.Step("etcd and kube-apiserver", func(note func(string)) error {
		etcd, err := i.run(i.Etcd())
		if err != nil {
			return err
		}
		health := fmt.Sprintf("http://127.0.0.1:%d/health", i.Ports.Etcd)
		if err := i.group.Wait(ctx, "etcd", etcd, note, func(ctx context.Context) error {
			return get(ctx, http.DefaultClient, health)
		}); err != nil {
			return err
		}
		if i.api, err = i.run(i.APIServer()); err != nil {
			return err
		}
		return i.group.Wait(ctx, "/readyz", i.api, note, func(ctx context.Context) error {
			return get(ctx, i.client, i.config.Host+"/readyz")
		})
	})
}

// run starts a component and leaves its pid for `status` and `clean`.
func (i *boot) run(c supervise.Command) (*supervise.Process, error) {
	p, err := i.group.Start(c)
	if err != nil {
		return nil, err
	}
	identity, err := state.Identify(p.PID)
	if err != nil {
		return p, nil //nolint:nilerr // gone already; the next wait says why
	}
	i.started = append(i.started, state.Component{Name: c.Name, Process: identity})
	return p, i.Dir.WriteComponents(i.started)
}

// serviceAccount is there when the controller manager works.
func (i *boot) serviceAccount(ctx context.Context) error {
	return get(ctx, i.client, i.config.Host+"/api/v1/namespaces/default/serviceaccounts/default")
}

// prepareFiles makes certificates, kubeconfigs and configuration files, and a client out of them.
func (i *boot) prepareFiles() error {
	if !i.Again {
		if err := i.writeFiles(); err != nil {
			return err
		}
	}
	config, err := adminConfig(i.Dir)
	if err != nil {
		return err
	}
	config.Host = i.Server()
	i.config = config
	if i.client, err = rest.HTTPClientFor(config); err != nil {
		return fmt.Errorf("making a client: %w", err)
	}
	i.client.Timeout = 5 * time.Second
	return nil
}

func (i *boot) writeFiles() error {
	if err := i.certificates(); err != nil {
		return err
	}
	if err := os.Symlink(i.Kube, i.Dir.Path("bin", "kubectl")); err != nil {
		return fmt.Errorf("linking kubectl: %w", err)
	}
	files := map[string]string{"audit.yaml": i.AuditPolicy()}
	for name, content := range files {
		if err := os.WriteFile(i.Dir.Path("conf", name), []byte(content), 0o600); err != nil {
			return fmt.Errorf("writing configuration: %w", err)
		}
	}
	return nil
}

func (i *boot) certificates() error {
	now := time.Now()
	authority, err := pki.NewAuthority("pillion test cluster", now)
	if err != nil {
		return err
	}
	accounts, err := pki.ServiceAccountKey()
	if err != nil {
		return err
	}
	pairs := map[string]pki.Pair{"ca": authority.Pair, "service-accounts": accounts}
	for file, subject := range i.Subjects() {
		if pairs[file], err = authority.Issue(subject, now); err != nil {
			return err
		}
		if subject.Hosts == nil {
			if err := pki.WriteKubeconfig(i.Kubeconfig(file), i.Server(), subject.Name, authority.Cert, pairs[file]); err != nil {
				return err
			}
		}
	}
	for file, pair := range pairs {
		if err := pair.Write(i.Dir.PKI(), file); err != nil {
			return err
		}
	}
	return pki.WriteKubeconfig(i.Dir.Kubeconfig(), i.server, "admin", authority.Cert, pairs["admin"])
}
