package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/cert-manager/cert-manager/pkg/controller"

	// Each registers its constructor.
	_ "github.com/cert-manager/cert-manager/pkg/controller/certificaterequests/approver"
	_ "github.com/cert-manager/cert-manager/pkg/controller/certificaterequests/ca"
	_ "github.com/cert-manager/cert-manager/pkg/controller/certificaterequests/selfsigned"
	_ "github.com/cert-manager/cert-manager/pkg/controller/certificates/issuing"
	_ "github.com/cert-manager/cert-manager/pkg/controller/certificates/keymanager"
	_ "github.com/cert-manager/cert-manager/pkg/controller/certificates/readiness"
	_ "github.com/cert-manager/cert-manager/pkg/controller/certificates/requestmanager"
	_ "github.com/cert-manager/cert-manager/pkg/controller/certificates/revisionmanager"
	_ "github.com/cert-manager/cert-manager/pkg/controller/certificates/trigger"
	_ "github.com/cert-manager/cert-manager/pkg/controller/clusterissuers"
	_ "github.com/cert-manager/cert-manager/pkg/controller/issuers"
	_ "github.com/cert-manager/cert-manager/pkg/issuer/ca"
	_ "github.com/cert-manager/cert-manager/pkg/issuer/selfsigned"
)

// namespace holds the Secrets of ClusterIssuers, as in an installation by cert-manager's manifests.
const namespace = "cert-manager"

const workers = 5 // of each controller; cert-manager's default

// options are cert-manager's defaults where they matter to these controllers, but for the wait after an issuance that
// failed: by default an hour, for which no test waits.
func options(kubeconfig string) controller.ContextOptions {
	return controller.ContextOptions{
		Kubeconfig:         kubeconfig,
		KubernetesAPIQPS:   500,
		KubernetesAPIBurst: 1000,
		IssuerOptions:      controller.IssuerOptions{ClusterResourceNamespace: namespace},
		CertificateOptions: controller.CertificateOptions{
			CopiedAnnotationPrefixes:                 []string{"*", "-kubectl.kubernetes.io/"},
			CertificateRequestMinimumBackoffDuration: time.Second,
			CertificateRequestMaximumBackoffDuration: 10 * time.Second,
		},
	}
}

// runControllers runs every registered controller until ctx ends.
func runControllers(ctx context.Context, kubeconfig string) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	factory, err := controller.NewContextFactory(ctx, options(kubeconfig))
	if err != nil {
		return fmt.Errorf("connecting cert-manager's controllers: %w", err)
	}
	controllers, err := construct(factory)
	if err != nil {
		return err
	}
	if err := startInformers(ctx, factory); err != nil {
		return err
	}
	ended := make(chan error, len(controllers))
	for name, c := range controllers {
		go func() {
			if err := c.Run(workers, ctx); err != nil {
				ended <- fmt.Errorf("running %s: %w", name, err)
			} else {
				ended <- nil
			}
			stop() // the others can't do without it
		}()
	}
	var failed error
	for range controllers {
		failed = errors.Join(failed, <-ended)
	}
	return failed
}

func construct(factory *controller.ContextFactory) (map[string]controller.Interface, error) {
	made := map[string]controller.Interface{}
	for name, constructor := range controller.Known() {
		c, err := constructor(factory)
		if err != nil {
			return nil, fmt.Errorf("making cert-manager's %s: %w", name, err)
		}
		made[name] = c
	}
	return made, nil
}

// startInformers comes after the constructors, which say what they want to see.
func startInformers(ctx context.Context, factory *controller.ContextFactory) error {
	shared, err := factory.Build("informers")
	if err != nil {
		return fmt.Errorf("starting cert-manager's informers: %w", err)
	}
	shared.SharedInformerFactory.Start(ctx.Done())
	shared.KubeSharedInformerFactory.Start(ctx.Done())
	return nil
}
