package servingcert

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"hash"
	"net/url"
	"slices"
	"time"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
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
	version       string // of the configuration's content
}

// entries lists them. Those of another operator's revisions aren't ours, even where both are reached at the same host:
// they hold the other's CA.
func (c *Controller) entries(ctx context.Context, from client.Reader) ([]entry, error) {
	var list admissionv1.MutatingWebhookConfigurationList
	if err := from.List(ctx, &list, client.HasLabels{LabelInjector}); err != nil {
		return nil, fmt.Errorf("listing our webhook configurations: %w", err)
	}
	var all []entry
	for _, configuration := range list.Items {
		if revision, says := configuration.Labels[istio.LabelRevision]; says && !c.Serves(revision) {
			continue
		}
		for _, w := range configuration.Webhooks {
			all = c.add(all, configuration.ObjectMeta, w.Name, w.ClientConfig)
		}
	}
	return all, nil
}

func (c *Controller) add(all []entry, m metav1.ObjectMeta, name string, cc admissionv1.WebhookClientConfig) []entry {
	server, ours := c.server(cc)
	if !ours {
		return all
	}
	return append(all, entry{m.Name, name, server, cc.CABundle, fmt.Sprintf("%s/%d", m.UID, m.Generation)})
}

// claimed are those entries that count when a leaf is chosen: what was left over says nothing.
func (c *Controller) claimed(ctx context.Context, from client.Reader) ([]entry, error) {
	all, err := c.entries(ctx, from)
	return slices.DeleteFunc(all, func(e entry) bool { return !c.Claimed(e.configuration) }), err
}

// owned are all entries that a new CA has to be in before anybody serves it: the claimed ones, and those by which the
// API server asks about Injectors.
func (c *Controller) owned(ctx context.Context) ([]entry, error) {
	all, err := c.claimed(ctx, c.Live)
	if err != nil || c.Validation == "" {
		return all, err
	}
	var validation admissionv1.ValidatingWebhookConfiguration
	err = c.Live.Get(ctx, client.ObjectKey{Name: c.Validation}, &validation)
	if apierrors.IsNotFound(err) {
		return all, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading webhook configuration %s: %w", c.Validation, err)
	}
	for _, w := range validation.Webhooks {
		all = c.add(all, validation.ObjectMeta, w.Name, w.ClientConfig)
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
	_, err := served.crt.Verify(x509.VerifyOptions{Roots: roots, Intermediates: served.intermediates(), DNSName: e.server, CurrentTime: now,
		KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}})
	if err != nil {
		return fmt.Errorf("webhook %s of %s: its caBundle doesn't verify our certificate: %w", e.name, e.configuration, err)
	}
	return nil
}

// weigh compares a leaf with what is served. It is trusted if every entry that verifies the served one verifies it too,
// and some entry does, if there is one; what can't be written verifies neither and says nothing. It is better if some
// entry verifies it alone.
func weigh(entries []entry, served, candidate *leaf, now time.Time) (trusted, better bool) {
	trusted = len(entries) == 0
	spoilt := false
	for _, e := range entries {
		before, after := served != nil && e.verify(served, now) == nil, e.verify(candidate, now) == nil
		trusted = trusted || after
		better = better || after && !before && served != nil
		spoilt = spoilt || before && !after
	}
	return trusted && !spoilt, better && !spoilt
}

// versionOf tells one content of all entries from another, also one that was there only between two looks.
func versionOf(entries []entry) string {
	digest := sha256.New()
	for _, e := range entries {
		e.sum(digest)
	}
	return hex.EncodeToString(digest.Sum(nil))
}

func (e entry) sum(digest hash.Hash) {
	fmt.Fprintf(digest, "%s %s %s %x\n", e.configuration, e.name, e.version, sha256.Sum256(e.caBundle))
}
