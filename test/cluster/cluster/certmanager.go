package cluster

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/yaml"
)

// certManagerTypes must be served before cert-manager starts: it doesn't look again for quite a while, or ends.
var certManagerTypes = []string{"certificates", "certificaterequests", "issuers", "clusterissuers"}

// certManagerNamespace is where an installation has it; the Secrets of ClusterIssuers belong there. It stays.
const certManagerNamespace = "/api/v1/namespaces/cert-manager"

// trial is what shows that cert-manager works: an issuer, a certificate of its, and a webhook configuration that matches
// no request and gets the authority injected. Paths in the order they are made.
var trial = []struct{ path, object string }{
	{"/apis/cert-manager.io/v1/namespaces/cert-manager/issuers/trial", `
apiVersion: cert-manager.io/v1
kind: Issuer
metadata: {name: trial}
spec: {selfSigned: {}}`},
	{"/apis/cert-manager.io/v1/namespaces/cert-manager/certificates/trial", `
apiVersion: cert-manager.io/v1
kind: Certificate
metadata: {name: trial}
spec: {commonName: trial, secretName: trial, privateKey: {algorithm: ECDSA}, issuerRef: {name: trial}}`},
	{trialWebhook, `
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingWebhookConfiguration
metadata: {name: cert-manager-trial, annotations: {cert-manager.io/inject-ca-from: cert-manager/trial}}
webhooks:
- {name: trial.cert-manager.io, sideEffects: None, admissionReviewVersions: [v1], clientConfig: {url: "https://127.0.0.1"}}`},
}

const (
	trialWebhook = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations/cert-manager-trial"
	trialSecret  = certManagerNamespace + "/secrets/trial"
)

// startCertManager installs its CRDs, runs it and waits until a certificate was issued and its authority injected.
func (i *boot) startCertManager(ctx context.Context) error {
	if i.CertManager == "" {
		return nil
	}
	client, err := kubernetes.NewForConfig(i.config)
	if err != nil {
		return fmt.Errorf("making a client: %w", err)
	}
	api := objects{client.CoreV1().RESTClient()}
	return i.progress.Step("cert-manager", func(note func(string)) error {
		if err := api.applyCRDs(ctx, i.CertManagerCRDs); err != nil {
			return err
		}
		if err := i.group.Wait(ctx, "cert-manager's types", i.api, note, api.certManagerServed); err != nil {
			return err
		}
		process, err := i.run(i.CertManagerCommand())
		if err != nil {
			return err
		}
		if err := api.applyTrial(ctx); err != nil {
			return err
		}
		if err := i.group.Wait(ctx, "a certificate in a webhook configuration", process, note, api.injected); err != nil {
			return err
		}
		return api.deleteTrial(ctx)
	})
}

// objects reads and writes objects by their paths.
type objects struct{ rest.Interface }

// apply makes the object at path as written, whether it's there or not. Its name must be in both.
func (o objects) apply(ctx context.Context, path, object string) error {
	err := o.Patch(types.ApplyYAMLPatchType).AbsPath(path).Param("fieldManager", "test-cluster").Param("force", "true").
		Body([]byte(object)).Do(ctx).Error()
	if err != nil {
		return fmt.Errorf("applying %s: %w", path, err)
	}
	return nil
}

func (o objects) applyCRDs(ctx context.Context, file string) error {
	data, err := os.ReadFile(file)
	if err != nil {
		return fmt.Errorf("reading cert-manager's CRDs: %w", err)
	}
	for document := range strings.SplitSeq(strings.TrimPrefix(string(data), "---\n"), "\n---\n") {
		var crd struct{ Metadata struct{ Name string } }
		if err := yaml.Unmarshal([]byte(document), &crd); err != nil {
			return fmt.Errorf("reading cert-manager's CRDs: %w", err)
		}
		if err := o.apply(ctx, "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/"+crd.Metadata.Name, document); err != nil {
			return err
		}
	}
	return o.apply(ctx, certManagerNamespace, "apiVersion: v1\nkind: Namespace\nmetadata: {name: cert-manager}")
}

func (o objects) certManagerServed(ctx context.Context) error {
	for _, resource := range certManagerTypes {
		if err := o.Get().AbsPath("/apis/cert-manager.io/v1/" + resource).Do(ctx).Error(); err != nil {
			return err
		}
	}
	return nil
}

func (o objects) applyTrial(ctx context.Context) error {
	for _, t := range trial {
		if err := o.apply(ctx, t.path, t.object); err != nil {
			return err
		}
	}
	return nil
}

func (o objects) injected(ctx context.Context) error {
	webhook, err := o.Get().AbsPath(trialWebhook).Do(ctx).Raw()
	if err != nil {
		return err
	}
	if !bytes.Contains(webhook, []byte(`"caBundle":"`)) {
		return errors.New("no caBundle yet")
	}
	return nil
}

// deleteTrial leaves nothing of it that a test could see. Its request goes with the certificate.
func (o objects) deleteTrial(ctx context.Context) error {
	paths := []string{trialSecret}
	for _, t := range trial {
		paths = append([]string{t.path}, paths...)
	}
	for _, path := range paths {
		if err := o.Delete().AbsPath(path).Do(ctx).Error(); err != nil && !apierrors.IsNotFound(err) {
			return fmt.Errorf("deleting %s: %w", path, err)
		}
	}
	return nil
}
