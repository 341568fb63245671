package operator

import (
	"context"
	"errors"
	"math/rand/v2"
	"net"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/manager"

	"github.com/pillion-mesh/pillion/internal/controller/injector"
	"github.com/pillion-mesh/pillion/internal/controller/servingcert"
	"github.com/pillion-mesh/pillion/internal/controller/servingcert/probe"
	"github.com/pillion-mesh/pillion/internal/controller/servingcert/replicas"
	"github.com/pillion-mesh/pillion/internal/istio"
)

// portName is the webhook's in Service and Deployment of config/manager.
const portName = "https-webhook"

// cluster is what parts that talk past the manager's client need.
type cluster struct {
	config    *rest.Config
	clientset kubernetes.Interface
	leads     func() bool // whether this replica holds the Lease
}

func (o Options) certificateOptions() servingcert.Options {
	options := servingcert.Options{Service: o.Service, Namespace: o.Namespace, ClusterDomain: o.ClusterDomain,
		Hosts: o.ServingHosts, Validation: injector.ValidationName(o.Service), Times: o.Times}
	if o.ProbeURL != "" {
		options.ProbeHost = hostOf(o.ProbeURL)
	}
	return options
}

// newCertificate makes the controller of the serving certificate, and whatever has to run beside it.
func (o Options) newCertificate(ctx context.Context, mgr manager.Manager, to cluster, d servingcert.Deps, metrics prometheus.Registerer, log logr.Logger) (*servingcert.Controller, error) {
	prober, err := o.newProbing(mgr, to, metrics, log.WithName("probe"))
	if err != nil {
		return nil, err
	}
	issued := o.newIssued(ctx, mgr, to, log.WithName("pairs"))
	d.Client, d.Live, d.Leader, d.Now, d.Jitter = mgr.GetClient(), mgr.GetAPIReader(), to.leads, o.Now, rand.Float64
	d.Log, d.Metrics = log.WithName("serving-cert"), metrics
	d.Pairs, d.Replicas, d.Prober = issued, o.newLooker(mgr), prober
	certificate, err := servingcert.New(o.certificateOptions(), d)
	if err != nil {
		return nil, err
	}
	issued.watches.Changed, issued.complete = certificate.Wake, certificate.Complete
	elected := manager.RunnableFunc(func(ctx context.Context) error { // the manager runs it when it holds the Lease
		certificate.Wake()
		<-ctx.Done()
		return nil
	})
	return certificate, errors.Join(mgr.Add(certificate), mgr.Add(elected), mgr.Add(everyReplica(issued.Start)))
}

// newLooker looks at what ready replicas serve.
func (o Options) newLooker(mgr manager.Manager) *replicas.Looker {
	endpoints := replicas.FromService(mgr.GetClient(), replicas.Service{Namespace: o.Namespace, Name: o.Service, PortName: portName, Port: istio.PortWebhook})
	if o.ReplicaAddresses != nil {
		endpoints = func(context.Context) ([]replicas.Endpoint, error) {
			var all []replicas.Endpoint
			for _, address := range o.ReplicaAddresses() {
				all = append(all, replicas.Endpoint{Name: address, Addresses: []string{address}})
			}
			return all, nil
		}
	}
	return &replicas.Looker{Endpoints: endpoints, ServerName: o.Service + "." + o.Namespace + ".svc", Dial: (&net.Dialer{}).DialContext}
}

// probing is servingcert.Prober: the calls, and the webhook configuration that they need.
type probing struct {
	*probe.Prober
	keeper *probe.Keeper
	target probe.Target
}

func (o Options) newProbing(mgr manager.Manager, to cluster, metrics prometheus.Registerer, log logr.Logger) (*probing, error) {
	live := mgr.GetAPIReader()
	prober, err := probe.New(probe.Options{Config: to.config, Live: live, Namespace: o.Namespace, Now: o.Now, Metrics: metrics})
	if err != nil {
		return nil, err
	}
	return &probing{
		Prober: prober,
		keeper: &probe.Keeper{Client: mgr.GetClient(), Live: live, CRD: injector.InjectorCRD(live), Log: log},
		target: probe.Target{Service: o.Service, Namespace: o.Namespace, Port: o.ServicePort, URL: o.ProbeURL},
	}, nil
}

// Keep keeps the probe's webhook configuration, or removes it.
func (p *probing) Keep(ctx context.Context, caBundle []byte) error {
	if len(caBundle) == 0 {
		return p.keeper.Remove(ctx, probe.Name(p.target.Service))
	}
	return p.keeper.Keep(ctx, probe.Configuration(p.target, caBundle))
}
