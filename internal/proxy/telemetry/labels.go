package telemetry

import "cmp"

// Labels describe this workload in Istio's metrics; what is empty becomes "unknown".
type Labels struct {
	Workload, Namespace, App, Version   string
	CanonicalService, CanonicalRevision string
	Cluster                             string
	Build                               string // value of istio_build's tag
}

const unknown = "unknown"

func (l Labels) withUnknowns() Labels {
	for _, field := range []*string{&l.Workload, &l.Namespace, &l.App, &l.Version, &l.CanonicalService, &l.CanonicalRevision, &l.Cluster, &l.Build} {
		*field = cmp.Or(*field, unknown)
	}
	return l
}

// seriesKey is what tells one series of Istio's TCP metrics from another, besides this workload's own labels. The
// parts come from fixed sets (reporters, clusters, flags), so the number of series is bounded.
type seriesKey struct {
	reporter string // source or destination
	cluster  string
	flags    string // response flags
}

func (k seriesKey) compare(o seriesKey) int {
	return cmp.Or(cmp.Compare(k.reporter, o.reporter), cmp.Compare(k.cluster, o.cluster), cmp.Compare(k.flags, o.flags))
}

// Series are Istio's TCP metrics with one set of labels.
type Series struct {
	Opened, Closed, Sent, Received Counter
}

// labels returns the label pairs of a series in Istio's order. What only the peer could tell us is unknown: nothing
// is exchanged with it yet.
func (k seriesKey) labels(own Labels) []string {
	peer := Labels{}.withUnknowns()
	source, destination := own, peer
	security := unknown
	if k.reporter == "destination" {
		source, destination = peer, own
		security = "none"
	}
	pairs := []string{"reporter", k.reporter}
	pairs = append(pairs, workloadLabels("source_", source)...)
	pairs = append(pairs, workloadLabels("destination_", destination)...)
	return append(pairs,
		"destination_service", unknown,
		"destination_service_name", k.cluster,
		"destination_service_namespace", destination.Namespace,
		"request_protocol", "tcp",
		"response_flags", k.flags,
		"connection_security_policy", security)
}

func workloadLabels(prefix string, l Labels) []string {
	return []string{
		prefix + "workload", l.Workload,
		prefix + "workload_namespace", l.Namespace,
		prefix + "principal", unknown,
		prefix + "app", l.App,
		prefix + "version", l.Version,
		prefix + "canonical_service", l.CanonicalService,
		prefix + "canonical_revision", l.CanonicalRevision,
		prefix + "cluster", l.Cluster,
	}
}
