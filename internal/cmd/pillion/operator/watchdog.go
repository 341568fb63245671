package operator

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/manager"

	"github.com/pillion-mesh/pillion/api/v1alpha1"
	"github.com/pillion-mesh/pillion/internal/controller/degrade"
	"github.com/pillion-mesh/pillion/internal/controller/events"
	"github.com/pillion-mesh/pillion/internal/controller/injector"
	"github.com/pillion-mesh/pillion/internal/version"
)

// watchdogLease + the operator's is the watchdog's: they lead independently.
const watchdogLease = "-watchdog"

// RunWatchdog runs nothing but the controller that sets failurePolicy while no operator is ready, until ctx ends: what
// the operator's leader does too, for when no operator lives.
func RunWatchdog(ctx context.Context, o Options, log logr.Logger) error {
	ctrl.SetLogger(log)
	log.Info("watchdog starting", "version", version.Get().String(), "namespace", o.Namespace, "service", o.Service)
	o.Lease += watchdogLease
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
	mgr, recorder, err := buildWatchdog(ctx, o, config, metrics, log)
	if err != nil {
		return err
	}
	health.add("caches", synced(mgr))
	health.started.Store(true)

	recording, stop := context.WithCancel(context.Background())
	var wait sync.WaitGroup
	wait.Go(func() { recorder.Run(recording) })
	defer wait.Wait()
	defer stop()
	if err := mgr.Start(ctx); err != nil {
		return fmt.Errorf("manager: %w", err)
	}
	return nil
}

func buildWatchdog(ctx context.Context, o Options, config *rest.Config, metrics prometheus.Registerer, log logr.Logger) (manager.Manager, *events.Recorder, error) {
	mgr, _, err := newManager(o, config, log)
	if err != nil {
		return nil, nil, fmt.Errorf("making the manager: %w", err)
	}
	clientset, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, nil, fmt.Errorf("making a client: %w", err)
	}
	recorder, err := events.New(clientset, o.PodName, log.WithName("events"), time.Now, metrics)
	if err != nil {
		return nil, nil, err
	}
	revisions, err := injector.ParseRevisions(o.Revisions)
	if err != nil {
		return nil, nil, err
	}
	degrader, err := o.newDegrader(mgr, revisions, nil, recorder, metrics, log)
	if err != nil {
		return nil, nil, err
	}
	for _, object := range []client.Object{&v1alpha1.Injector{}, &admissionv1.MutatingWebhookConfiguration{}, &discoveryv1.EndpointSlice{}} {
		_, fault := mgr.GetCache().GetInformer(ctx, object, cache.BlockUntilSynced(false))
		err = errors.Join(err, fault)
	}
	return mgr, recorder, errors.Join(err, mgr.Add(degrader))
}

// newDegrader is the operator's too. The watchdog is alone: it knows only present specs, and writes the status itself.
func (o Options) newDegrader(mgr manager.Manager, revisions injector.Revisions, inEffect func(*v1alpha1.Injector) *v1alpha1.InjectorSpec, recorder *events.Recorder, metrics prometheus.Registerer, log logr.Logger) (*degrade.Controller, error) {
	return degrade.New(degrade.Options{
		Client: mgr.GetClient(), Live: mgr.GetAPIReader(), Namespace: o.Namespace, Service: o.Service, PodName: o.PodName, Status: inEffect == nil, InEffect: inEffect,
		Serves: revisions.Serves, Record: recorder.Record, Now: time.Now, Log: log.WithName("degrade"), Metrics: metrics,
	})
}
