package servingcert

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net/url"
	"slices"
	"time"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/pillion-mesh/pillion/internal/istio"
)

// LabelInjector is on every webhook configuration of ours and names its Injector.
const LabelInjector = "pillion.dev/injector"

// entry is one webhook entry that leads to this operator, as the API server has it.
type entry struct {
	configuration string
	name          string
	server        string // the name its certificate must have
	caBundle      []byte
}

// entries lists them from the informer, which follows the API server by a watch. Those of another operator's revisions
// aren't ours, even where both are reached at the same host: they hold the other's CA.
func (c *Controller) entries(ctx context.Context) ([]entry, error) {
	var list admissionv1.MutatingWebhookConfigurationList
	if err := c.Client.List(ctx, &list, client.HasLabels{LabelInjector}); err != nil {
		return nil, fmt.Errorf("listing our webhook configurations: %w", err)
	}
	var all []entry
	for _, configuration := range list.Items {
		if revision, says := configuration.Labels[istio.LabelRevision]; says && !c.Serves(revision) {
			continue
		}
		for _, w := range configuration.Webhooks {
			if server, ours := c.server(w.ClientConfig); ours {
				all = append(all, entry{configuration.Name, w.Name, server, w.ClientConfig.CABundle})
			}
		}
	}
	return all, nil
}

// server is the name the API server will expect, and whether the entry leads to our Service or to one of our hosts.
func (c *Controller) server(cc admissionv1.WebhookClientConfig) (string, bool) {
	if s := cc.Service; s != nil {
		return s.Name + "." + s.Namespace + ".svc", s.Name == c.Service && s.Namespace == c.Namespace
	}
	if cc.URL == nil {
		return "", false
	}
	u, err := url.Parse(*cc.URL)
	if err != nil {
		return "", false
	}
	return u.Hostname(), slices.Contains(c.Hosts, u.Hostname())
}

// verify is what the API server does with the certificate we serve.
func (e entry) verify(served *leaf, now time.Time) error {
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(e.caBundle) {
		return fmt.Errorf("webhook %s of %s: its caBundle is empty or broken", e.name, e.configuration)
	}
	_, err := served.crt.Verify(x509.VerifyOptions{Roots: roots, DNSName: e.server, CurrentTime: now,
		KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}})
	if err != nil {
		return fmt.Errorf("webhook %s of %s: its caBundle doesn't verify our certificate: %w", e.name, e.configuration, err)
	}
	return nil
}

func contains(caBundle []byte, ca *x509.Certificate) bool {
	for block, rest := pem.Decode(caBundle); block != nil; block, rest = pem.Decode(rest) {
		if slices.Equal(block.Bytes, ca.Raw) {
			return true
		}
	}
	return false
}
