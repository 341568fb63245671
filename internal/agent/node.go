package agent

import (
	"cmp"
	"encoding/json"
	"maps"
	"slices"
	"strings"
)

// Roles a node can have. The second captures nothing.
const (
	roleSidecar = "sidecar"
	roleRouter  = "router"
)

// Node is who this sidecar is, as control planes parse it.
type Node struct {
	ID       string         `json:"id"`      // ROLE~IP~POD.NAMESPACE~NAMESPACE.svc.DOMAIN
	Cluster  string         `json:"cluster"` // SERVICE.NAMESPACE
	Metadata map[string]any `json:"metadata,omitempty"`
}

// Prefixes of variables that become metadata: of one value, and of a JSON object of them.
const (
	metaPrefix     = "ISTIO_META_"
	metaJSONPrefix = "ISTIO_METAJSON_"
)

// aboutNode takes in what only a control plane and other workloads are told; notes are of what can't be.
func (s *Settings) aboutNode(env map[string]string, f flags, args []string) (notes []string) {
	s.Role = roleSidecar
	if slices.Contains(args, roleRouter) {
		s.Role = roleRouter
	}
	s.Domain = f["domain"]
	s.ServiceCluster = cmp.Or(f["serviceCluster"], s.ServiceCluster)
	r := &reader{env: env}
	s.Metadata = map[string]any{}
	for _, name := range slices.Sorted(maps.Keys(env)) {
		if key, ok := strings.CutPrefix(name, metaPrefix); ok && key != "" {
			s.Metadata[key] = env[name]
		}
		if strings.HasPrefix(name, metaJSONPrefix) {
			r.metaJSON(name, s.Metadata)
		}
	}
	return r.notes
}

func (r *reader) metaJSON(name string, into map[string]any) {
	var more map[string]any
	if err := json.Unmarshal([]byte(r.env[name]), &more); err != nil {
		r.note("%s: it is no JSON object: %v", name, err)
		return
	}
	maps.Copy(into, more)
}

// Node is the zero one where it isn't known which pod this is.
func (s Settings) Node() Node {
	if s.PodName == "" || s.PodNamespace == "" {
		return Node{}
	}
	return Node{
		ID: strings.Join([]string{cmp.Or(s.Role, roleSidecar), s.PodIP, s.PodName + "." + s.PodNamespace,
			cmp.Or(s.Domain, s.PodNamespace+".svc.cluster.local")}, "~"),
		Cluster:  cmp.Or(s.ServiceCluster, cmp.Or(s.CanonicalService, s.Workload, "istio-proxy")+"."+s.PodNamespace),
		Metadata: s.nodeMetadata(),
	}
}

// nodeMetadata is what the pod tells by itself, then what its environment says.
func (s Settings) nodeMetadata() map[string]any {
	m := map[string]any{"NAME": s.PodName, "NAMESPACE": s.PodNamespace}
	for name, value := range map[string]string{
		"SERVICE_ACCOUNT": s.ServiceAccount, "WORKLOAD_NAME": s.Workload, "INSTANCE_IPS": s.PodIP,
	} {
		if value != "" {
			m[name] = value
		}
	}
	if labels := s.ownLabels(); len(labels) > 0 {
		m["LABELS"] = labels
	}
	maps.Copy(m, s.Metadata)
	return m
}

// ownLabels are the pod's, with the two that metrics are told by.
func (s Settings) ownLabels() map[string]any {
	labels := map[string]any{}
	for name, value := range map[string]string{canonicalName: s.CanonicalService, canonicalRevision: s.CanonicalRevision} {
		if value != "" {
			labels[name] = value
		}
	}
	for name, value := range s.Labels {
		labels[name] = value
	}
	return labels
}

// Labels that say which service a pod is.
const (
	canonicalName     = "service.istio.io/canonical-name"
	canonicalRevision = "service.istio.io/canonical-revision"
)
