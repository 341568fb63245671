package telemetry

import (
	"cmp"
	"strconv"
	"strings"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
	"github.com/pillion-mesh/pillion/internal/proxy/stream"
)

// party is one end of a request, as labels say it.
type party struct {
	workload, namespace, principal, app, version string
	service, revision, cluster                   string
}

// istioKey is all labels of a series.
type istioKey struct {
	protocol    protocol
	inbound     bool // the reporter is the destination
	source      party
	destination party
	service     config.ServiceLabels
	code        int // -1: not a label
	grpc        int // -1: none
	flags       stream.Flags
	security    string
	other       bool // all that found no room
	overrides   *overrides
	extra       string // values of the overrides' labels, each ended by a zero byte
}

func (i *Istio) key(x *stream.Exchange, s *seen) istioKey {
	k := istioKey{
		protocol: s.protocol, inbound: i.server || x.Conn.Direction == config.Inbound,
		code: s.code, grpc: s.grpc, flags: s.flags, overrides: i.overrides, extra: s.overrides,
	}
	own := i.store.own()
	if k.inbound {
		k.source, k.destination, k.security = partyOf(s.peer), own, "none"
		k.source.principal, k.destination.principal = principals(x.Conn.TLS)
		if x.Conn.TLS != nil && x.Conn.TLS.Mutual {
			k.security = "mutual_tls"
		}
	} else {
		k.source, k.destination, k.security = own, partyOf(s.upPeer), unknown
		k.destination.principal, k.source.principal = principals(s.upTLS)
	}
	k.service = serviceOf(s, k.destination.namespace)
	if i.overrides != nil {
		i.overrides.clear(&k)
	}
	return k
}

// principals are the identities of the peer and our own, where there is mutual TLS.
func principals(t *stream.TLS) (peer, own string) {
	if t == nil {
		return "", ""
	}
	if len(t.PeerURISANs) > 0 {
		peer = t.PeerURISANs[0]
	}
	if len(t.LocalURISANs) > 0 {
		own = t.LocalURISANs[0]
	}
	return peer, own
}

func partyOf(p *stream.Peer) party {
	if p == nil {
		return party{}
	}
	return party{
		workload: p.Workload, namespace: p.Namespace, app: p.App, version: p.Version,
		service: p.CanonicalService, revision: p.CanonicalRevision, cluster: p.Cluster,
	}
}

func (s *Store) own() party {
	l := s.Labels
	return party{
		workload: l.Workload, namespace: l.Namespace, app: l.App, version: l.Version,
		service: l.CanonicalService, revision: l.CanonicalRevision, cluster: l.Cluster,
	}
}

// serviceOf names the service asked for: the cluster's, else the request's host, else the cluster's name for those that
// pass everything through.
func serviceOf(s *seen, namespace string) config.ServiceLabels {
	if s.cluster != nil && s.cluster.Service.Host != "" {
		return s.cluster.Service
	}
	switch s.clusterName {
	case config.PassthroughCluster, config.InboundPassthroughCluster, config.BlackHoleCluster:
		return config.ServiceLabels{Host: s.host, Name: s.clusterName, Namespace: namespace}
	}
	return config.ServiceLabels{Host: s.host, Name: s.host, Namespace: namespace}
}

// owned is k with its own copies of what may be views of buffers.
func (k istioKey) owned() istioKey {
	for _, p := range []*party{&k.source, &k.destination} {
		for _, field := range []*string{&p.workload, &p.namespace, &p.principal, &p.app, &p.version, &p.service, &p.revision, &p.cluster} {
			*field = cloned(*field)
		}
	}
	k.service = config.ServiceLabels{Host: cloned(k.service.Host), Name: cloned(k.service.Name), Namespace: cloned(k.service.Namespace)}
	return k
}

func cloned(text string) string { return strings.Clone(text) }

// labels returns the label pairs of a metric in Istio's order; what is empty is unknown.
func (k *istioKey) labels(metric string) []string {
	pairs := append(make([]string, 0, maxPairs), "reporter", k.reporter())
	pairs = k.source.labels(pairs, "source_")
	pairs = k.destination.labels(pairs, "destination_")
	pairs = append(pairs,
		"destination_service", k.service.Host,
		"destination_service_name", k.service.Name,
		"destination_service_namespace", k.service.Namespace,
		"request_protocol", k.protocol.String())
	if k.protocol != protocolTCP {
		pairs = append(pairs, "response_code", codeLabel(k.code))
	}
	pairs = append(pairs, "response_flags", k.flags.String(), "connection_security_policy", k.security)
	for i := 1; i < len(pairs); i += 2 {
		pairs[i] = cmp.Or(pairs[i], unknown)
	}
	if k.protocol != protocolTCP {
		pairs = append(pairs, "grpc_response_status", grpcLabel(k.grpc)) // empty where it isn't gRPC, as Istio has it
	}
	return k.overrides.apply(pairs, metric, k.extra)
}

// codeLabel is empty, and unknown therefore, where no code is known.
func codeLabel(code int) string {
	if code < 0 {
		return ""
	}
	return strconv.Itoa(code)
}

// maxPairs is room for the usual labels and a few more.
const maxPairs = 64

func grpcLabel(status int) string {
	if status < 0 {
		return ""
	}
	return strconv.Itoa(status)
}

// reporter is unknown of what found no room.
func (k *istioKey) reporter() string {
	if k.other {
		return unknown
	}
	if k.inbound {
		return config.Inbound.Reporter()
	}
	return config.Outbound.Reporter()
}

func (p *party) labels(pairs []string, prefix string) []string {
	return append(pairs,
		prefix+"workload", p.workload, prefix+"workload_namespace", p.namespace, prefix+"principal", p.principal,
		prefix+"app", p.app, prefix+"version", p.version, prefix+"canonical_service", p.service,
		prefix+"canonical_revision", p.revision, prefix+"cluster", p.cluster)
}
