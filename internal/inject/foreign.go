package inject

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
)

// Conflict is an entry of another mesh's injector that can match a pod which one of ours matches too.
type Conflict struct {
	Configuration string  `json:"configuration"` // of the other injector
	Entry         string  `json:"entry"`
	Mesh          string  `json:"mesh"`     // Istio, Linkerd, …
	Ours          string  `json:"ours"`     // configuration
	OurEntry      string  `json:"ourEntry"` // as in Match
	Example       Example `json:"example"`  // labels both match
}

// Sentence says all of it.
func (c *Conflict) Sentence() string {
	return fmt.Sprintf("webhook %s/%s of %s matches pods that %s/%s matches too, such as %s",
		c.Configuration, c.Entry, c.Mesh, c.Ours, c.OurEntry, c.Example.String())
}

// maxConflicts bounds what is told; the first are as good as all.
const maxConflicts = 64

// Conflicts finds the entries of other sidecar injectors that can match a pod of ours: one for each such entry, in the
// order of others. Ours among the others, told by their label, are no conflict with themselves.
func Conflicts(ours, others []admissionregistrationv1.MutatingWebhookConfiguration) []Conflict {
	var conflicts []Conflict
	for i := range others {
		for j := range others[i].Webhooks {
			entry := &others[i].Webhooks[j]
			mesh := Mesher(&others[i], entry)
			if mesh == "" {
				continue
			}
			if c, found := conflict(ours, entry); found && len(conflicts) < maxConflicts {
				c.Configuration, c.Entry, c.Mesh = others[i].Name, entry.Name, mesh
				conflicts = append(conflicts, c)
			}
		}
	}
	return conflicts
}

// conflict finds the first entry of ours that can match the same pod.
func conflict(ours []admissionregistrationv1.MutatingWebhookConfiguration, other *admissionregistrationv1.MutatingWebhook) (Conflict, bool) {
	for i := range ours {
		for j := range ours[i].Webhooks {
			w := &ours[i].Webhooks[j]
			if example, met := overlap(w, other); met {
				return Conflict{Ours: ours[i].Name, OurEntry: match(&ours[i], w.Name).Entry, Example: example}, true
			}
		}
	}
	return Conflict{}, false
}

// otherMesh is what a mesh that isn't known by name is called.
const otherMesh = "another sidecar injector"

// marks tell a sidecar injector by its name, its entry's name or its labels. An injector that captures no traffic goes
// with ours and has no mesh.
var marks = []struct{ mesh, mark string }{
	{"", ".dapr.io"},
	{"", "vault"},
	{"Istio", "sidecar-injector.istio.io"},
	{"Istio", "istio-sidecar-injector"},
	{"Istio", "istio-revision-tag-"},
	{"Linkerd", "proxy-injector.linkerd.io"},
	{"Linkerd", "linkerd.io/control-plane-component=proxy-injector"},
	{"Kuma", "kuma-injector.kuma.io"},
	{"Consul", "connect-injector"},
	{"Open Service Mesh", "osm-inject"},
	{otherMesh, "sidecar-injector"},
	{otherMesh, "sidecar-injection"},
	{otherMesh, "proxy-injector"},
}

// Mesher is the mesh whose sidecars a webhook entry injects; empty if it is ours, none, or never sees pods being
// created.
func Mesher(c *admissionregistrationv1.MutatingWebhookConfiguration, w *admissionregistrationv1.MutatingWebhook) string {
	if c.Labels[LabelInjector] != "" || strings.HasSuffix(w.Name, entrySuffix) || !SeesPods(w) {
		return ""
	}
	text := []string{c.Name, w.Name}
	for _, key := range slices.Sorted(maps.Keys(c.Labels)) {
		text = append(text, key+"="+c.Labels[key])
	}
	all := strings.Join(text, " ")
	for _, m := range marks {
		if strings.Contains(all, m.mark) {
			return m.mesh
		}
	}
	return ""
}

// SeesPods says whether a webhook entry is called when a pod is created.
func SeesPods(w *admissionregistrationv1.MutatingWebhook) bool {
	return slices.ContainsFunc(w.Rules, func(r admissionregistrationv1.RuleWithOperations) bool {
		return anyOf(r.Operations, admissionregistrationv1.Create, admissionregistrationv1.OperationAll) && anyOf(r.APIGroups, "", "*") &&
			anyOf(r.APIVersions, "v1", "*") && anyOf(r.Resources, "pods", "*", "*/*") &&
			(r.Scope == nil || *r.Scope != admissionregistrationv1.ClusterScope)
	})
}

func anyOf[T comparable](list []T, wanted ...T) bool {
	return slices.ContainsFunc(list, func(v T) bool { return slices.Contains(wanted, v) })
}
