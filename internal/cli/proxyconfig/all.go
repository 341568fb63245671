package proxyconfig

import (
	"fmt"
	"io"
	"slices"
	"time"

	adminv3 "github.com/envoyproxy/go-control-plane/envoy/admin/v3"
)

// WriteAll prints every table, a blank line between them, each under a line with its name if headed.
func (d *Dump) WriteAll(w, note io.Writer, clusters *adminv3.Clusters, now time.Time, headed bool) error {
	for i, t := range []struct {
		name  string
		write func() error
	}{
		{"CLUSTER", func() error { return d.WriteClusters(w, ClusterFilter{}, "table") }},
		{"LISTENER", func() error { return d.WriteListeners(w, ListenerFilter{}, false, "table") }},
		{"ROUTE", func() error { return d.WriteRoutes(w, note, RouteFilter{Hosted: true}, "table") }},
		{"ENDPOINT", func() error { return WriteEndpoints(w, clusters, EndpointFilter{}, "table") }},
		{"SECRET", func() error { return d.WriteSecrets(w, now, "table") }},
		{"ECDS", func() error { return d.WriteECDS(w, "table") }},
	} {
		if i > 0 {
			fmt.Fprintln(w)
		}
		if headed {
			fmt.Fprintf(w, "------ %s INFO ------\n", t.name)
		}
		if err := t.write(); err != nil {
			return err
		}
	}
	return nil
}

func sortedByName(rows [][]string) [][]string {
	slices.SortStableFunc(rows, slices.Compare)
	return rows
}
