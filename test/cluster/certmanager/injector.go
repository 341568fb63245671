package main

import (
	"context"
	"errors"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apiextensions "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/klog/v2"
	apiregistration "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"
	runtimelog "sigs.k8s.io/controller-runtime/pkg/log"

	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/metrics/server"

	certmanager "github.com/cert-manager/cert-manager/pkg/client/clientset/versioned/scheme"
	"github.com/cert-manager/cert-manager/pkg/controller/cainjector"
	"github.com/cert-manager/cert-manager/pkg/util"
)

// runInjector runs the CA injector until ctx ends. Without any of these it injects nothing and doesn't say why: the
// logger; the user agent, which names the field manager of its writes; Secrets read from the API server, as its
// informers keep their metadata alone.
func runInjector(ctx context.Context, config *rest.Config) error {
	runtimelog.SetLogger(klog.NewKlogr().WithName("cainjector"))
	types, err := injectorTypes()
	if err != nil {
		return err
	}
	m, err := manager.New(util.RestConfigWithUserAgent(config, "cainjector"), manager.Options{
		Scheme:  types,
		Metrics: server.Options{BindAddress: "0"}, // nothing listens
		Client:  client.Options{Cache: &client.CacheOptions{DisableFor: []client.Object{&corev1.Secret{}}}},
	})
	if err != nil {
		return fmt.Errorf("making the CA injector's manager: %w", err)
	}
	if err := cainjector.RegisterAllInjectors(ctx, m, cainjector.SetupOptions{
		EnableCertificatesDataSource: true,
		EnabledReconcilersFor: map[string]bool{
			cainjector.MutatingWebhookConfigurationName:   true,
			cainjector.ValidatingWebhookConfigurationName: true,
			cainjector.APIServiceName:                     true,
			cainjector.CustomResourceDefinitionName:       true,
		},
	}); err != nil {
		return fmt.Errorf("making the CA injector: %w", err)
	}
	if err := m.Start(ctx); err != nil {
		return fmt.Errorf("running the CA injector: %w", err)
	}
	return nil
}

func injectorTypes() (*runtime.Scheme, error) {
	types := runtime.NewScheme()
	err := errors.Join(scheme.AddToScheme(types), certmanager.AddToScheme(types), apiextensions.AddToScheme(types),
		apiregistration.AddToScheme(types))
	if err != nil {
		return nil, fmt.Errorf("registering the CA injector's types: %w", err)
	}
	return types, nil
}
