package proxyconfig

import (
	"cmp"
	"io"
	"slices"
	"strconv"
	"strings"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/pillion-mesh/pillion/internal/cli/table"
)

// ClusterFilter takes clusters; zero fields take all.
type ClusterFilter struct {
	FQDN      string // a part of the cluster's name
	Port      int
	Subset    string
	Direction string // inbound or outbound
}

// clusterHeadings are istioctl's.
var clusterHeadings = []string{"SERVICE FQDN", "PORT", "SUBSET", "DIRECTION", "TYPE", "DESTINATION RULE"}

// subsetKey are the parts of direction|port|subset|host, Istio's names of clusters.
type subsetKey struct{ direction, port, subset, host string }

func parseSubsetKey(name string) (subsetKey, bool) {
	parts := strings.Split(name, "|")
	if len(parts) < 4 {
		return subsetKey{}, false
	}
	return subsetKey{parts[0], parts[1], parts[2], parts[3]}, true
}

func (f ClusterFilter) takes(name string) bool {
	key, _ := parseSubsetKey(name)
	return strings.Contains(name, f.FQDN) &&
		(f.Port == 0 || key.port == strconv.Itoa(f.Port)) &&
		(f.Subset == "" || key.subset == f.Subset) &&
		(f.Direction == "" || strings.HasPrefix(key.direction, f.Direction))
}

// ClustersBy returns the clusters in force that f takes, by host, subset, port and direction.
func (d *Dump) ClustersBy(f ClusterFilter) []*clusterv3.Cluster {
	var all []*anypb.Any
	for _, c := range d.Clusters.GetStaticClusters() {
		all = append(all, c.GetCluster())
	}
	for _, c := range d.Clusters.GetDynamicActiveClusters() {
		all = append(all, c.GetCluster())
	}
	clusters := slices.DeleteFunc(messages[clusterv3.Cluster](all), func(c *clusterv3.Cluster) bool { return !f.takes(c.GetName()) })
	slices.SortStableFunc(clusters, func(a, b *clusterv3.Cluster) int {
		x, y := clusterKey(a.GetName()), clusterKey(b.GetName())
		return cmp.Or(cmp.Compare(x.host, y.host), cmp.Compare(x.subset, y.subset), comparePorts(x.port, y.port), cmp.Compare(x.direction, y.direction))
	})
	return clusters
}

// clusterKey sorts clusters that aren't named in Istio's way by their names.
func clusterKey(name string) subsetKey {
	if key, ok := parseSubsetKey(name); ok {
		return key
	}
	return subsetKey{host: name}
}

func comparePorts(a, b string) int { return cmp.Or(cmp.Compare(len(a), len(b)), cmp.Compare(a, b)) }

// WriteClusters prints clusters as a table, or as json or yaml.
func (d *Dump) WriteClusters(w io.Writer, f ClusterFilter, format string) error {
	clusters := d.ClustersBy(f)
	if format != "table" {
		return writeMessages(w, clusters, format)
	}
	rows := make([][]string, len(clusters))
	for i, c := range clusters {
		key, ok := parseSubsetKey(c.GetName())
		if !ok {
			key = subsetKey{host: c.GetName()}
		}
		rows[i] = []string{key.host, cmp.Or(key.port, "-"), cmp.Or(key.subset, "-"), cmp.Or(key.direction, "-"), clusterType(c), configSource(c.GetMetadata())}
	}
	return table.Write(w, clusterHeadings, rows)
}

func clusterType(c *clusterv3.Cluster) string {
	if custom := c.GetClusterType(); custom != nil {
		return custom.GetName()
	}
	return c.GetType().String()
}

// configSource is the object a resource was made from, as NAME.NAMESPACE: metadata istio.config holds its path,
// /apis/GROUP/VERSION/namespaces/NAMESPACE/KIND/NAME.
func configSource(m *corev3.Metadata) string {
	path := m.GetFilterMetadata()["istio"].GetFields()["config"].GetStringValue()
	parts := strings.Split(path, "/")
	if len(parts) == 8 && parts[4] == "namespaces" {
		return parts[7] + "." + parts[5]
	}
	return path
}
