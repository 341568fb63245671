package operator

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/klog/v2"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/manager"

	"github.com/pillion-mesh/pillion/api/v1alpha1"
	"github.com/pillion-mesh/pillion/internal/controller/admission"
	"github.com/pillion-mesh/pillion/internal/controller/degrade"
	"github.com/pillion-mesh/pillion/internal/controller/events"
	"github.com/pillion-mesh/pillion/internal/controller/injector"
	"github.com/pillion-mesh/pillion/internal/controller/servingcert"
	"github.com/pillion-mesh/pillion/internal/controller/servingcert/probe"
	"github.com/pillion-mesh/pillion/internal/controller/validate"
	"github.com/pillion-mesh/pillion/internal/controller/workload"
	"github.com/pillion-mesh/pillion/internal/inject"
	"github.com/pillion-mesh/pillion/internal/version"
	"github.com/pillion-mesh/pillion/templates"
	"github.com/pillion-mesh/pillion/webhook"
)

// Run runs the operator until ctx ends or it can't go on. It returns when everything it started has stopped.
func Run(ctx context.Context, o Options, log logr.Logger) error {
	ctrl.SetLogger(log)
	klog.SetLogger(log.WithName("client-go").V(1))
	log.Info("operator starting", "version", version.Get().String(), "namespace", o.Namespace, "pod", o.PodName)
	config, err := restConfig(o.Kubeconfig)
	if err != nil {
		return err
	}
	health := &health{}
	metrics := registry()
	ops, err := serveOps(o.OpsAddress, health, metrics, log)
	if err != nil {
		return err
	}
	defer ops.shutdown(opsPatience)
	if err := waitForCRD(ctx, config, log); err != nil || ctx.Err() != nil {
		return err
	}
	parts, err := build(ctx, o, config, metrics, health, log)
	if err != nil {
		return err
	}
	listener, err := o.listen(ctx)
	if err != nil {
		return err
	}
	defer listener.Close()
	return live(ctx, o, parts, listener, health, log)
}

// parts is everything that runs.
type parts struct {
	manager     manager.Manager
	certificate *servingcert.Controller
	degrader    *degrade.Controller
	handler     *drainable
	recorder    *events.Recorder
}

func build(ctx context.Context, o Options, config *rest.Config, metrics prometheus.Registerer, h *health, log logr.Logger) (*parts, error) {
	mgr, leads, err := newManager(o, config, log)
	if err != nil {
		return nil, fmt.Errorf("making the manager: %w", err)
	}
	clientset, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("making a client: %w", err)
	}
	recorder, err := events.New(clientset, o.PodName, log.WithName("events"), time.Now, metrics)
	if err != nil {
		return nil, err
	}
	if err := o.tellRestarts(recorder.Record, metrics, log); err != nil {
		return nil, err
	}

	revisions, err := injector.ParseRevisions(o.Revisions)
	if err != nil {
		return nil, err
	}
	certificate, controller, err := o.newControllers(ctx, mgr, cluster{config, clientset, leads}, revisions, recorder, metrics, log)
	if err != nil {
		return nil, err
	}
	degrader, err := o.newDegrader(mgr, revisions, controller.Compiler.InEffect, recorder, metrics, log)
	if err != nil {
		return nil, err
	}
	nodes := admission.NewNodes()
	h.add("caches", synced(mgr))
	h.add("injectors", func(context.Context) error { return controller.Compiler.Ready() })
	h.add("certificate", certificate.Ready)
	err = errors.Join(
		watch(ctx, mgr, nodes, certificate, o),
		controller.AddTo(mgr),
		mgr.Add(degrader),
		addWorkload(mgr, controller.Compiler.Set, recorder, metrics, log),
		addDefaultInjector(mgr, o, revisions, h, log),
	)
	if err != nil {
		return nil, err
	}
	admitted := webhook.New(webhook.Options{
		Set:        controller.Compiler.Set,
		Namespaces: admission.Namespaces{Cache: mgr.GetClient(), Live: mgr.GetAPIReader()},
		Native:     nodes.Native,
		Events:     sink{recorder},
		Log:        log.WithName("webhook"),
		Metrics:    webhook.NewMetrics(metrics),
	})
	return &parts{manager: mgr, certificate: certificate, degrader: degrader, recorder: recorder,
		handler: &drainable{next: route(admitted, checks(controller.Compiler, log), probe.Handler(certificate.ServedCA, o.PodName))}}, nil
}

// newControllers makes two that need each other: one asks for the bundle, and is told by the other when that changes.
func (o Options) newControllers(ctx context.Context, mgr manager.Manager, to cluster, revisions injector.Revisions, recorder *events.Recorder, metrics prometheus.Registerer, log logr.Logger) (*servingcert.Controller, *injector.Controller, error) {
	var controller *injector.Controller
	certificate, err := o.newCertificate(ctx, mgr, to, servingcert.Deps{
		Settings: func() v1alpha1.Certificates { return controller.Compiler.Certificates() },
		Known:    func() bool { return controller.Compiler.CertificatesKnown() },
		Serves:   revisions.Serve,
		Claimed:  func(configuration string) bool { return controller.Compiler.Claims(configuration) },
		Changed:  func() { controller.Poke() },
		Event:    func(kind, reason, note string) { controller.Announce(kind, reason, note) },
	}, metrics, log)
	if err != nil {
		return nil, nil, err
	}
	controller, err = injector.New(injector.Options{
		Client: mgr.GetClient(), Live: mgr.GetAPIReader(), Metadata: mgr.GetCache(), Operator: o.InjectOperator(), Revisions: revisions,
		CRD: injector.InjectorCRD(mgr.GetAPIReader()), ValidationPath: validate.Path,
		Bundle: certificate.Bundle, Trusted: certificate.Trusted, CertificatesStatus: certificate.Status, CertificatesFault: certificate.Fault, Compiled: certificate.Wake,
		Record: recorder.Record, Now: time.Now, Log: log.WithName("injector"), Metrics: metrics,
	})
	return certificate, controller, err
}

// InjectOperator is what injection has to know of this operator.
func (o Options) InjectOperator() inject.Operator {
	mesh := inject.Mesh{ID: o.MeshID, TrustDomain: o.TrustDomain, ClusterID: o.ClusterID, ClusterDomain: o.ClusterDomain,
		Network:          o.Network,
		DiscoveryAddress: fmt.Sprintf("%s.%s.svc:15012", o.Service, o.Namespace),
		CAAddress:        fmt.Sprintf("%s.%s.svc:15012", o.Service, o.Namespace)}
	if mesh.ID == "" {
		mesh.ID = o.TrustDomain
	}
	return inject.Operator{Namespace: o.Namespace, Service: o.Service, ServicePort: o.ServicePort,
		SidecarImage: o.SidecarImage, Mesh: mesh, Templates: templates.FS}
}

// addWorkload has the leader watch pods.
func addWorkload(mgr manager.Manager, set func() *inject.Set, recorder *events.Recorder, metrics prometheus.Registerer, log logr.Logger) error {
	controller, err := workload.New(workload.Options{
		Client: mgr.GetClient(), Live: mgr.GetAPIReader(), Informers: mgr.GetCache(), Set: set, Record: recorder.Record, Now: time.Now,
		Log: log.WithName("workload"), Metrics: metrics,
	})
	if err != nil {
		return err
	}
	return mgr.Add(controller)
}

// addDefaultInjector makes the first Injector, and makes readiness wait until the API server has its webhooks.
func addDefaultInjector(mgr manager.Manager, o Options, revisions injector.Revisions, h *health, log logr.Logger) error {
	live := mgr.GetAPIReader()
	installed := &injector.Installed{Live: live, Revisions: revisions, Now: time.Now, Log: log}
	h.add("webhooks", installed.Ready)
	if !o.CreateDefaultInjector {
		return nil
	}
	first := injector.DefaultInjector{Client: mgr.GetClient(), Live: live, CRD: injector.InjectorCRD(live), Namespace: o.Namespace, Log: log}
	installed.Made = first.Made
	return mgr.Add(first)
}

// sink turns the webhook's events into the recorder's.
type sink struct{ recorder *events.Recorder }

func (s sink) Event(e webhook.Event) {
	object := corev1.ObjectReference{APIVersion: e.Owner.APIVersion, Kind: e.Owner.Kind, Namespace: e.Namespace, Name: e.Owner.Name}
	object.UID = uid(e.Owner.UID)
	if e.Owner.Name == "" { // a bare pod has no name yet; its namespace is where people look
		object = corev1.ObjectReference{APIVersion: "v1", Kind: "Namespace", Namespace: e.Namespace, Name: e.Namespace}
	}
	s.recorder.Record(events.Event{Object: object, Type: e.Type, Reason: e.Reason, Message: e.Message})
}

// restConfig is the pod's own, or the kubeconfig's.
func restConfig(kubeconfig string) (*rest.Config, error) {
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.ExplicitPath = kubeconfig
	config, err := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, &clientcmd.ConfigOverrides{}).ClientConfig()
	if err != nil {
		return nil, fmt.Errorf("finding the cluster: %w; run in a pod, or give --kubeconfig", err)
	}
	config.UserAgent = "pillion-operator/" + version.Version
	config.QPS, config.Burst = 50, 100
	return config, nil
}

func registry() *prometheus.Registry {
	r := prometheus.NewRegistry()
	r.MustRegister(collectors.NewBuildInfoCollector())
	return r
}
