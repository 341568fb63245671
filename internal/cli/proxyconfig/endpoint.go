package proxyconfig

import (
	"cmp"
	"io"
	"net"
	"slices"
	"strconv"
	"strings"

	adminv3 "github.com/envoyproxy/go-control-plane/envoy/admin/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/pillion-mesh/pillion/internal/cli/table"
)

// EndpointFilter takes endpoints; zero fields take all.
type EndpointFilter struct {
	Address string
	Port    int
	Cluster string // the whole name
	Status  string // healthy, unhealthy, …
}

// Headings are istioctl's.
var (
	endpointHeadings = []string{"ENDPOINT", "STATUS", "OUTLIER CHECK", "CLUSTER"}
	edsHeadings      = []string{"NAME", "STATUS", "LOCALITY", "CLUSTER"}
)

func (f EndpointFilter) takes(a *corev3.Address, cluster, status string) bool {
	return (f.Address == "" || addressOf(a) == f.Address) &&
		(f.Port == 0 || int(a.GetSocketAddress().GetPortValue()) == f.Port) &&
		(f.Cluster == "" || cluster == f.Cluster) &&
		(f.Status == "" || strings.EqualFold(status, f.Status))
}

// WriteEndpoints prints what /clusters says of hosts as a table, or the clusters with the hosts f takes as json or yaml.
func WriteEndpoints(w io.Writer, all *adminv3.Clusters, f EndpointFilter, format string) error {
	var clusters []*adminv3.ClusterStatus
	var rows [][]string
	for _, c := range all.GetClusterStatuses() {
		hosts := slices.DeleteFunc(slices.Clone(c.GetHostStatuses()), func(h *adminv3.HostStatus) bool {
			return !f.takes(h.GetAddress(), c.GetName(), healthOf(h))
		})
		if len(hosts) == 0 {
			continue
		}
		c.HostStatuses = hosts
		clusters = append(clusters, c)
		for _, h := range hosts {
			rows = append(rows, []string{endpointCell(h.GetAddress()), healthOf(h), outlierCell(h), c.GetName()})
		}
	}
	if format != "table" {
		return writeMessages(w, clusters, format)
	}
	return table.Write(w, endpointHeadings, sorted(rows))
}

func healthOf(h *adminv3.HostStatus) string {
	status := h.GetHealthStatus().GetEdsHealthStatus()
	if status == corev3.HealthStatus_UNKNOWN {
		status = corev3.HealthStatus_HEALTHY
	}
	return status.String()
}

func outlierCell(h *adminv3.HostStatus) string {
	if h.GetHealthStatus().GetFailedOutlierCheck() {
		return "FAILED"
	}
	return "OK"
}

func endpointCell(a *corev3.Address) string {
	if a.GetSocketAddress() == nil {
		return addressOf(a)
	}
	return net.JoinHostPort(addressOf(a), strconv.Itoa(int(a.GetSocketAddress().GetPortValue())))
}

func sorted(rows [][]string) [][]string {
	slices.SortStableFunc(rows, func(a, b []string) int { return cmp.Or(cmp.Compare(a[len(a)-1], b[len(b)-1]), slices.Compare(a, b)) })
	return rows
}

// WriteEDS prints the endpoints of /config_dump?include_eds.
func (d *Dump) WriteEDS(w io.Writer, f EndpointFilter, format string) error {
	var all []*anypb.Any
	for _, e := range d.Endpoints.GetStaticEndpointConfigs() {
		all = append(all, e.GetEndpointConfig())
	}
	for _, e := range d.Endpoints.GetDynamicEndpointConfigs() {
		all = append(all, e.GetEndpointConfig())
	}
	assignments := slices.DeleteFunc(messages[endpointv3.ClusterLoadAssignment](all), func(a *endpointv3.ClusterLoadAssignment) bool {
		return f.Cluster != "" && a.GetClusterName() != f.Cluster
	})
	if format != "table" {
		return writeMessages(w, assignments, format)
	}
	var rows [][]string
	for _, a := range assignments {
		rows = append(rows, edsRows(a, f)...)
	}
	return table.Write(w, edsHeadings, sorted(rows))
}

func edsRows(a *endpointv3.ClusterLoadAssignment, f EndpointFilter) (rows [][]string) {
	for _, group := range a.GetEndpoints() {
		for _, e := range group.GetLbEndpoints() {
			status := e.GetHealthStatus()
			if status == corev3.HealthStatus_UNKNOWN {
				status = corev3.HealthStatus_HEALTHY
			}
			address := e.GetEndpoint().GetAddress()
			if f.takes(address, a.GetClusterName(), status.String()) {
				rows = append(rows, []string{endpointCell(address), status.String(), localityCell(group.GetLocality()), a.GetClusterName()})
			}
		}
	}
	return rows
}

func localityCell(l *corev3.Locality) string {
	return strings.TrimRight(strings.Join([]string{l.GetRegion(), l.GetZone(), l.GetSubZone()}, "/"), "/")
}
