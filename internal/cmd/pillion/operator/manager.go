package operator

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/go-logr/logr"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/discovery"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/pillion-mesh/pillion/api/v1alpha1"
	"github.com/pillion-mesh/pillion/internal/controller/admission"
	"github.com/pillion-mesh/pillion/internal/controller/injector"
	"github.com/pillion-mesh/pillion/internal/controller/servingcert"
	"github.com/pillion-mesh/pillion/internal/controller/workload"
)

// managerGrace is how long the manager's runnables may take to end.
const managerGrace = 5 * time.Second

// newManager also gives what says whether this replica leads.
func newManager(o Options, config *rest.Config, log logr.Logger) (manager.Manager, func() bool, error) {
	scheme := runtime.NewScheme()
	if err := errors.Join(clientgoscheme.AddToScheme(scheme), v1alpha1.AddToScheme(scheme)); err != nil {
		return nil, nil, err
	}
	lock, err := newLease(o, config)
	if err != nil {
		return nil, nil, err
	}
	duration, renew, period, grace := leaseDuration, renewDeadline, retryPeriod, managerGrace
	mgr, err := manager.New(config, manager.Options{
		Scheme:           scheme,
		Logger:           log,
		Metrics:          server.Options{BindAddress: "0"}, // served by ops, which outlives the manager
		LeaderElection:   true,
		LeaderElectionID: o.Lease,

		LeaderElectionResourceLockInterface: lock,
		LeaderElectionReleaseOnCancel:       true,
		LeaseDuration:                       &duration,
		RenewDeadline:                       &renew,
		RetryPeriod:                         &period,
		GracefulShutdownTimeout:             &grace,
		Cache:                               cacheOptions(o),
		Client:                              client.Options{Cache: &client.CacheOptions{DisableFor: []client.Object{&corev1.ConfigMap{}, &corev1.Secret{}}}},
	})
	if err != nil {
		return nil, nil, err
	}
	return mgr, leads(mgr, lock), nil
}

// cacheOptions keep the informers small: one Secret, our own endpoints, names and versions of ConfigMaps, and of others'
// webhook configurations, nodes and namespaces what is needed.
func cacheOptions(o Options) cache.Options {
	endpoints := labels.SelectorFromSet(labels.Set{discoveryv1.LabelServiceName: o.Service})
	secret := fields.OneTermEqualSelector("metadata.name", servingcert.SecretName(o.Service))
	return cache.Options{ByObject: map[client.Object]cache.ByObject{
		&corev1.Secret{}:                              {Namespaces: map[string]cache.Config{o.Namespace: {FieldSelector: secret}}},
		&discoveryv1.EndpointSlice{}:                  {Namespaces: map[string]cache.Config{o.Namespace: {LabelSelector: endpoints}}},
		&corev1.ConfigMap{}:                           {Namespaces: map[string]cache.Config{o.Namespace: {}}, Transform: injector.TrimConfigMap},
		&admissionv1.ValidatingWebhookConfiguration{}: {Field: fields.OneTermEqualSelector("metadata.name", injector.ValidationName(o.Service))},
		&admissionv1.MutatingWebhookConfiguration{}:   {Transform: injector.TrimConfiguration},
		&corev1.Node{}:                                {Transform: admission.Trim},
		&corev1.Pod{}:                                 {Transform: workload.Trim, Field: workload.Unfinished()}, // the leader's only
		&corev1.Namespace{}:                           {Transform: cache.TransformStripManagedFields()},
		&corev1.LimitRange{}:                          {Transform: cache.TransformStripManagedFields()},
		&corev1.ResourceQuota{}:                       {Transform: cache.TransformStripManagedFields()},
	}}
}

// watch starts, with the manager, every informer that admission and readiness read, so that "caches synced" means all.
func watch(ctx context.Context, mgr manager.Manager, nodes *admission.Nodes, certificate *servingcert.Controller, o Options) error {
	informers := mgr.GetCache()
	for _, object := range []client.Object{&v1alpha1.Injector{}, &admissionv1.MutatingWebhookConfiguration{}, admission.NamespaceObject(),
		injector.ConfigMapObject(), &discoveryv1.EndpointSlice{}, &admissionv1.ValidatingWebhookConfiguration{}, &corev1.LimitRange{}, &corev1.ResourceQuota{}} {
		if _, err := informers.GetInformer(ctx, object, cache.BlockUntilSynced(false)); err != nil {
			return fmt.Errorf("watching %T: %w", object, err)
		}
	}
	secrets, err := informers.GetInformer(ctx, &corev1.Secret{}, cache.BlockUntilSynced(false))
	if err != nil {
		return fmt.Errorf("watching Secret %s: %w", servingcert.SecretName(o.Service), err)
	}
	wake := func(any) { certificate.Wake() }
	_, err = secrets.AddEventHandler(toolscache.ResourceEventHandlerFuncs{
		AddFunc: wake, DeleteFunc: wake, UpdateFunc: func(_, _ any) { certificate.Wake() },
	})
	return errors.Join(err, watchBundles(ctx, informers, certificate), nodes.Watch(ctx, informers))
}

// watchBundles has the certificate looked at when one of our webhook configurations changes: somebody may have replaced
// the caBundle.
func watchBundles(ctx context.Context, informers cache.Cache, certificate *servingcert.Controller) error {
	configurations, err := informers.GetInformer(ctx, &admissionv1.MutatingWebhookConfiguration{}, cache.BlockUntilSynced(false))
	if err != nil {
		return fmt.Errorf("watching webhook configurations: %w", err)
	}
	_, err = configurations.AddEventHandler(toolscache.ResourceEventHandlerFuncs{UpdateFunc: func(_, now any) {
		if c, ok := now.(*admissionv1.MutatingWebhookConfiguration); ok && c.Labels[servingcert.LabelInjector] != "" {
			certificate.Wake()
		}
	}})
	return err
}

// synced is a readiness check: the manager starts its runnables when its caches have synced.
func synced(mgr manager.Manager) func(context.Context) error {
	done := make(chan struct{})
	err := mgr.Add(everyReplica(func(ctx context.Context) error {
		close(done)
		<-ctx.Done()
		return nil
	}))
	return func(context.Context) error {
		select {
		case <-done:
			return err
		default:
			return errors.New("caches haven't synced yet")
		}
	}
}

// everyReplica is a runnable that needs no Lease.
type everyReplica func(context.Context) error

func (f everyReplica) Start(ctx context.Context) error { return f(ctx) }

// NeedLeaderElection says no.
func (everyReplica) NeedLeaderElection() bool { return false }

// leads says whether this replica holds the Lease.
func leads(mgr manager.Manager, lock *lease) func() bool {
	return func() bool {
		select {
		case <-mgr.Elected():
			return lock.held()
		default:
			return false
		}
	}
}

// waitForCRD waits until the API server knows Injectors: one `kubectl apply` may start us before it does.
func waitForCRD(ctx context.Context, config *rest.Config, log logr.Logger) error {
	client, err := discovery.NewDiscoveryClientForConfig(config)
	if err != nil {
		return fmt.Errorf("making a client: %w", err)
	}
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	for {
		_, err := client.ServerResourcesForGroupVersion(v1alpha1.GroupVersion.String())
		if err == nil {
			return nil
		}
		log.Info("waiting until the API server knows Injectors; kubectl apply -k config/crd makes it so", "error", err.Error())
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

func uid(s string) types.UID { return types.UID(s) }
