package peermetadata

import (
	"strings"

	"github.com/pillion-mesh/pillion/internal/proxy/httpfilter/filter"
	"github.com/pillion-mesh/pillion/internal/proxy/stream"
)

// Labels of a pod that say which service it is.
const (
	canonicalName     = "service.istio.io/canonical-name"
	canonicalRevision = "service.istio.io/canonical-revision"
)

// Peer takes a workload out of the Struct that proxies exchange, over headers or over TCP.
func Peer(m map[string]any) *stream.Peer {
	labels, _ := m["LABELS"].(map[string]any)
	return &stream.Peer{
		Workload: text(m, "WORKLOAD_NAME"), Namespace: text(m, "NAMESPACE"), Cluster: text(m, "CLUSTER_ID"),
		App: text(labels, "app"), Version: text(labels, "version"),
		CanonicalService: text(labels, canonicalName), CanonicalRevision: text(labels, canonicalRevision),
	}
}

func text(m map[string]any, key string) string {
	s, _ := m[key].(string)
	return s
}

// Metadata is the Struct that tells a peer who we are.
func Metadata(self *filter.Self) map[string]any {
	labels, m := map[string]any{}, map[string]any{}
	put := func(to map[string]any, key, value string) {
		if value != "" {
			to[key] = value
		}
	}
	put(labels, "app", self.App)
	put(labels, "version", self.Version)
	put(labels, canonicalName, self.CanonicalService)
	put(labels, canonicalRevision, self.CanonicalRevision)
	put(m, "WORKLOAD_NAME", self.Workload)
	put(m, "NAMESPACE", self.Namespace)
	put(m, "CLUSTER_ID", self.Cluster)
	put(m, "NAME", self.Name)
	put(m, "OWNER", self.Owner)
	m["LABELS"] = labels
	return m
}

// FromWorkload reads an endpoint's metadata istio.workload: name;namespace;canonical service;revision;cluster. It is
// nil if there is none.
func FromWorkload(workload string) *stream.Peer {
	if workload == "" {
		return nil
	}
	var parts [5]string
	copy(parts[:], strings.SplitN(workload, ";", 5))
	return &stream.Peer{
		Workload: parts[0], Namespace: parts[1], CanonicalService: parts[2], CanonicalRevision: parts[3], Cluster: parts[4],
	}
}
