package cli

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"slices"
	"strings"
	"time"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/pillion-mesh/pillion/api/v1alpha1"
	"github.com/pillion-mesh/pillion/internal/inject"
)

// BundleRow is a CA in the caBundle of a webhook entry, or one that should be there.
type BundleRow struct {
	Webhook  string       `json:"webhook"`      // configuration/entry
	CA       string       `json:"ca,omitempty"` // fingerprint; "": there is no bundle to read
	NotAfter *metav1.Time `json:"notAfter,omitempty"`
	Role     string       `json:"role,omitempty"` // as in status; "": the operator names no such CA
	State    string       `json:"state"`
}

// States of a CA in a bundle, and of a certificate.
const (
	stateTrusted  = "trusted"
	stateExpired  = "EXPIRED"
	stateNotYet   = "not valid yet"
	stateMissing  = "MISSING" // it is served, so calls fail
	stateAwaited  = "awaited" // a rotation is about to write it
	stateNoBundle = "NO BUNDLE"
	stateGarbage  = "UNREADABLE"
)

// bundleEntry is a webhook entry that leads to the operator.
type bundleEntry struct {
	injector string // whose configuration it is in, if an Injector's
	webhook  string
	bundle   []byte
}

// readEntries reads the webhook configurations of the operator, of both kinds.
func (all *Certificates) readEntries(ctx context.Context, c client.Reader, id Identity) ([]bundleEntry, error) {
	var entries []bundleEntry
	add := func(m *metav1.ObjectMeta, name string, cc *admissionregistrationv1.WebhookClientConfig) {
		if id.leadsHere(name, cc) {
			entries = append(entries, bundleEntry{injector: m.Labels[inject.LabelInjector], webhook: m.Name + "/" + name, bundle: cc.CABundle})
		}
	}
	var mutating admissionregistrationv1.MutatingWebhookConfigurationList
	if _, err := all.allowed(c.List(ctx, &mutating), "what the API server trusts for pods", "list mutatingwebhookconfigurations.admissionregistration.k8s.io"); err != nil {
		return nil, err
	}
	for i := range mutating.Items {
		for j := range mutating.Items[i].Webhooks {
			w := &mutating.Items[i].Webhooks[j]
			add(&mutating.Items[i].ObjectMeta, w.Name, &w.ClientConfig)
		}
	}
	var validating admissionregistrationv1.ValidatingWebhookConfigurationList
	if _, err := all.allowed(c.List(ctx, &validating), "what the API server trusts for Injectors", "list validatingwebhookconfigurations.admissionregistration.k8s.io"); err != nil {
		return nil, err
	}
	for i := range validating.Items {
		for j := range validating.Items[i].Webhooks {
			w := &validating.Items[i].Webhooks[j]
			add(&validating.Items[i].ObjectMeta, w.Name, &w.ClientConfig)
		}
	}
	slices.SortStableFunc(entries, func(a, b bundleEntry) int { return strings.Compare(a.webhook, b.webhook) })
	return entries, nil
}

// leadsHere says whether an entry is this operator's: by its Service or the Service of its probe, or by its name where it
// is reached by a URL.
func (id Identity) leadsHere(name string, cc *admissionregistrationv1.WebhookClientConfig) bool {
	if s := cc.Service; s != nil {
		return s.Namespace == id.Namespace && (s.Name == id.Service || s.Name == id.Service+"-probe")
	}
	return strings.HasSuffix(name, ".pillion.dev")
}

// bundles are the rows of all entries.
func bundles(entries []bundleEntry, status *v1alpha1.CertificatesStatus, now time.Time) []BundleRow {
	rows := []BundleRow{}
	for _, e := range entries {
		rows = append(rows, bundleRows(e, status, now)...)
	}
	return rows
}

func bundleRows(e bundleEntry, status *v1alpha1.CertificatesStatus, now time.Time) []BundleRow {
	if len(e.bundle) == 0 {
		return []BundleRow{{Webhook: e.webhook, State: stateNoBundle}}
	}
	cas, whole := certificates(e.bundle)
	var rows []BundleRow
	for _, ca := range cas {
		print := v1alpha1.Fingerprint(ca.Raw)
		rows = append(rows, BundleRow{Webhook: e.webhook, CA: print, NotAfter: &metav1.Time{Time: ca.NotAfter}, Role: role(status, print), State: validity(ca, now)})
	}
	if !whole {
		rows = append(rows, BundleRow{Webhook: e.webhook, State: stateGarbage})
	}
	for _, ca := range expected(status) {
		if !slices.ContainsFunc(rows, func(r BundleRow) bool { return r.CA == ca.Fingerprint }) {
			row := BundleRow{Webhook: e.webhook, CA: ca.Fingerprint, Role: ca.Role, State: stateMissing}
			if !ca.NotAfter.IsZero() {
				row.NotAfter = &ca.NotAfter
			}
			if ca.Role == v1alpha1.RoleNext {
				row.State = stateAwaited
			}
			rows = append(rows, row)
		}
	}
	return rows
}

// certificates are those of a bundle; whole is false if something else is in it.
func certificates(bundle []byte) (cas []*x509.Certificate, whole bool) {
	for {
		var block *pem.Block
		rest := bundle
		if block, bundle = pem.Decode(rest); block == nil {
			return cas, len(strings.TrimSpace(string(rest))) == 0
		}
		ca, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return cas, false
		}
		cas = append(cas, ca)
	}
}

func validity(ca *x509.Certificate, now time.Time) string {
	switch {
	case now.After(ca.NotAfter):
		return stateExpired
	case now.Before(ca.NotBefore):
		return stateNotYet
	}
	return stateTrusted
}

// expected are the CAs that a bundle must hold because replicas serve leaves of them, and the next one.
func expected(status *v1alpha1.CertificatesStatus) []v1alpha1.CertificateAuthority {
	if status == nil {
		return nil
	}
	var want []v1alpha1.CertificateAuthority
	for _, ca := range status.CAs {
		seen := slices.ContainsFunc(status.Replicas, func(r v1alpha1.ReplicaCertificate) bool { return r.CA == ca.Fingerprint })
		if seen || ca.Role == v1alpha1.RoleActive || ca.Role == v1alpha1.RoleServed || ca.Role == v1alpha1.RoleNext {
			want = append(want, ca)
		}
	}
	for _, r := range status.Replicas {
		if r.CA != "" && !slices.ContainsFunc(want, func(ca v1alpha1.CertificateAuthority) bool { return ca.Fingerprint == r.CA }) {
			want = append(want, v1alpha1.CertificateAuthority{Fingerprint: r.CA})
		}
	}
	return want
}

func role(status *v1alpha1.CertificatesStatus, fingerprint string) string {
	if status != nil {
		for _, ca := range status.CAs {
			if ca.Fingerprint == fingerprint {
				return ca.Role
			}
		}
	}
	return ""
}
