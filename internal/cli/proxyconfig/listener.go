package proxyconfig

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	tcpv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/tcp_proxy/v3"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/pillion-mesh/pillion/internal/cli/table"
)

// ListenerFilter takes listeners; zero fields take all.
type ListenerFilter struct {
	Address string
	Port    int
	Type    string // HTTP, TCP, HTTP+TCP or UNKNOWN
}

// Headings are istioctl's, of the table with matches and of the short one.
var (
	listenerHeadings      = []string{"ADDRESSES", "PORT", "MATCH", "DESTINATION"}
	shortListenerHeadings = []string{"ADDRESSES", "PORT", "TYPE"}
)

func (f ListenerFilter) takes(l *listenerv3.Listener) bool {
	return (f.Port == 0 || int(listenerPort(l)) == f.Port) &&
		(f.Address == "" || slices.Contains(listenerAddresses(l), f.Address)) &&
		(f.Type == "" || strings.EqualFold(f.Type, listenerType(l)))
}

// ListenersBy returns the listeners in force that f takes, by port and address.
func (d *Dump) ListenersBy(f ListenerFilter) []*listenerv3.Listener {
	var all []*anypb.Any
	for _, l := range d.Listeners.GetStaticListeners() {
		all = append(all, l.GetListener())
	}
	for _, l := range d.Listeners.GetDynamicListeners() {
		all = append(all, l.GetActiveState().GetListener())
	}
	listeners := slices.DeleteFunc(messages[listenerv3.Listener](all), func(l *listenerv3.Listener) bool { return !f.takes(l) })
	slices.SortStableFunc(listeners, func(a, b *listenerv3.Listener) int {
		return cmp.Or(cmp.Compare(listenerPort(a), listenerPort(b)), slices.Compare(listenerAddresses(a), listenerAddresses(b)))
	})
	return listeners
}

// WriteListeners prints listeners as a table (short: their types instead of their chains), or as json or yaml.
func (d *Dump) WriteListeners(w io.Writer, f ListenerFilter, short bool, format string) error {
	listeners := d.ListenersBy(f)
	switch {
	case format != "table":
		return writeMessages(w, listeners, format)
	case short:
		return table.Write(w, shortListenerHeadings, shortRows(listeners))
	}
	var rows [][]string
	for _, l := range listeners {
		for _, chain := range chains(l) {
			rows = append(rows, append([]string{addressCell(l), portCell(l)}, chain...))
		}
	}
	return table.Write(w, listenerHeadings, rows)
}

func shortRows(listeners []*listenerv3.Listener) (rows [][]string) {
	for _, l := range listeners {
		rows = append(rows, []string{addressCell(l), portCell(l), listenerType(l)})
	}
	return rows
}

func addressCell(l *listenerv3.Listener) string { return strings.Join(listenerAddresses(l), ",") }
func portCell(l *listenerv3.Listener) string    { return strconv.Itoa(int(listenerPort(l))) }

func listenerAddresses(l *listenerv3.Listener) []string {
	addresses := []string{addressOf(l.GetAddress())}
	for _, a := range l.GetAdditionalAddresses() {
		addresses = append(addresses, addressOf(a.GetAddress()))
	}
	return addresses
}

func addressOf(a *corev3.Address) string {
	switch {
	case a.GetPipe() != nil:
		return "unix://" + a.GetPipe().GetPath()
	case a.GetEnvoyInternalAddress() != nil:
		return "envoy://" + a.GetEnvoyInternalAddress().GetServerListenerName()
	}
	return a.GetSocketAddress().GetAddress()
}

func listenerPort(l *listenerv3.Listener) uint32 {
	return l.GetAddress().GetSocketAddress().GetPortValue()
}

// listenerType is what its chains speak.
func listenerType(l *listenerv3.Listener) string {
	http, tcp := false, false
	for _, chain := range allChains(l) {
		for _, f := range chain.GetFilters() {
			http = http || f.GetTypedConfig().MessageIs((*hcmv3.HttpConnectionManager)(nil))
			tcp = tcp || f.GetTypedConfig().MessageIs((*tcpv3.TcpProxy)(nil))
		}
	}
	switch {
	case http && tcp:
		return "HTTP+TCP"
	case http:
		return "HTTP"
	case tcp:
		return "TCP"
	}
	return "UNKNOWN"
}

func allChains(l *listenerv3.Listener) []*listenerv3.FilterChain {
	if l.GetDefaultFilterChain() == nil {
		return l.GetFilterChains()
	}
	return append(slices.Clone(l.GetFilterChains()), l.GetDefaultFilterChain())
}

// chains are match and destination of each filter chain, sorted, the default chain last.
func chains(l *listenerv3.Listener) (rows [][]string) {
	for _, chain := range l.GetFilterChains() {
		rows = append(rows, []string{matchCell(chain.GetFilterChainMatch()), destinationCell(chain)})
	}
	slices.SortStableFunc(rows, slices.Compare)
	if chain := l.GetDefaultFilterChain(); chain != nil {
		rows = append(rows, []string{"ALL", destinationCell(chain)})
	}
	return rows
}

// Lists of application protocols that Istio's control planes use, under the names istioctl has for them.
var alpnNames = map[string]string{
	"http/1.0,http/1.1,h2c": "HTTP",
	"http/1.1,h2c":          "HTTP",
	"http/1.0,http/1.1,h2c,istio-http/1.0,istio-http/1.1,istio-h2": "HTTP TLS",
	"istio,istio-http/1.0,istio-http/1.1,istio-h2":                 "Istio HTTP Plain",
	"istio-peer-exchange,istio":                                    "TCP TLS",
}

func matchCell(m *listenerv3.FilterChainMatch) string {
	var parts []string
	add := func(name, value string) {
		if value != "" {
			parts = append(parts, name+": "+value)
		}
	}
	add("SNI", strings.Join(m.GetServerNames(), ","))
	add("Trans", m.GetTransportProtocol())
	alpn := strings.Join(m.GetApplicationProtocols(), ",")
	add("App", cmp.Or(alpnNames[alpn], alpn))
	add("Addr", destinationMatch(m))
	return cmp.Or(strings.Join(parts, "; "), "ALL")
}

func destinationMatch(m *listenerv3.FilterChainMatch) string {
	port := ""
	if m.GetDestinationPort() != nil {
		port = fmt.Sprintf(":%d", m.GetDestinationPort().GetValue())
	}
	var ranges []string
	for _, p := range m.GetPrefixRanges() {
		ranges = append(ranges, fmt.Sprintf("%s/%d", p.GetAddressPrefix(), p.GetPrefixLen().GetValue()))
	}
	if len(ranges) == 0 && port != "" {
		return "*" + port
	}
	return strings.Join(ranges, ",") + port
}

// destinationCell says where a chain leads.
func destinationCell(chain *listenerv3.FilterChain) string {
	for _, f := range chain.GetFilters() {
		var hcm hcmv3.HttpConnectionManager
		var tcp tcpv3.TcpProxy
		switch config := f.GetTypedConfig(); {
		case config.MessageIs(&hcm) && config.UnmarshalTo(&hcm) == nil:
			if name := hcm.GetRds().GetRouteConfigName(); name != "" {
				return "Route: " + name
			}
			return inlineRoute(hcm.GetRouteConfig())
		case config.MessageIs(&tcp) && config.UnmarshalTo(&tcp) == nil:
			return tcpDestination(&tcp)
		}
	}
	return "Non-HTTP/Non-TCP"
}

func tcpDestination(tcp *tcpv3.TcpProxy) string {
	if weighted := tcp.GetWeightedClusters().GetClusters(); len(weighted) > 0 {
		var names []string
		for _, c := range weighted {
			names = append(names, fmt.Sprintf("%s %d", c.GetName(), c.GetWeight()))
		}
		return "Clusters: " + strings.Join(names, ", ")
	}
	return clusterCell(tcp.GetCluster())
}

// clusterCell leaves out the word before clusters that have it in their names: PassthroughCluster.
func clusterCell(name string) string {
	if strings.Contains(name, "Cluster") {
		return name
	}
	return "Cluster: " + name
}

func inlineRoute(table *routev3.RouteConfiguration) string {
	if name := oneCluster(table); name != "" {
		return clusterCell(name)
	}
	var hosts []string
	for _, host := range table.GetVirtualHosts() {
		var paths []string
		for _, r := range host.GetRoutes() {
			paths = append(paths, routeMatch(r.GetMatch()))
		}
		text := strings.Join(paths, ", ")
		if domains := domainsCell(host.GetDomains()); domains != "*" {
			text = domains + " " + text
		}
		hosts = append(hosts, text)
	}
	return "Inline Route: " + strings.Join(hosts, "; ")
}

// oneCluster is the cluster a table sends everything to, if there is one.
func oneCluster(table *routev3.RouteConfiguration) string {
	if len(table.GetVirtualHosts()) != 1 || len(table.GetVirtualHosts()[0].GetRoutes()) != 1 {
		return ""
	}
	host, route := table.GetVirtualHosts()[0], table.GetVirtualHosts()[0].GetRoutes()[0]
	if !slices.Equal(host.GetDomains(), []string{"*"}) || route.GetMatch().GetPrefix() != "/" {
		return ""
	}
	return route.GetRoute().GetCluster()
}
