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
