package cli

import (
	"strings"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"

	"github.com/pillion-mesh/pillion/internal/inject"
	"github.com/pillion-mesh/pillion/internal/istio"
)

// WebhookRow is one webhook entry of some injector's, ours or not.
type WebhookRow struct {
	Webhook  string `json:"webhook"` // configuration/entry
	Revision string `json:"revision"`
	Matches  bool   `json:"matches"`
	Reason   string `json:"reason"`
	Mesh     string `json:"mesh,omitempty"` // whose sidecar it injects, if not ours
}

// rows are all entries that see pods being created.
func rows(configurations []admissionregistrationv1.MutatingWebhookConfiguration, ns inject.Namespace, pod map[string]string) []WebhookRow {
	var all []WebhookRow
	for i := range configurations {
		configuration := &configurations[i]
		for j := range configuration.Webhooks {
			entry := &configuration.Webhooks[j]
			if !inject.SeesPods(entry) {
				continue
			}
			matches, reason := explainEntry(entry, ns, pod)
			all = append(all, WebhookRow{
				Webhook: configuration.Name + "/" + entry.Name, Revision: revision(configuration.Labels), Matches: matches, Reason: reason,
				Mesh: inject.Mesher(configuration, entry),
			})
		}
	}
	return all
}

func revision(labels map[string]string) string {
	for _, key := range []string{istio.LabelTag, istio.LabelRevision} {
		if value := labels[key]; value != "" {
			return value
		}
	}
	return "-"
}

func ours(webhook string) bool { return strings.HasSuffix(webhook, ".injector.pillion.dev") }
