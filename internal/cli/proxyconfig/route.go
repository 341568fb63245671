package proxyconfig

import (
	"cmp"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strings"

	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/pillion-mesh/pillion/internal/cli/table"
)

// RouteFilter takes route tables; the zero filter takes all.
type RouteFilter struct {
	Name   string
	Hosted bool // print the name of the virtual host too
}

// NoteRDS is what istioctl says when inline routes are left out.
const NoteRDS = "NOTE: This output only contains routes loaded via RDS."

func routeHeadings(hosted bool) []string {
	if hosted {
		return []string{"NAME", "VHOST NAME", "DOMAINS", "MATCH", "VIRTUAL SERVICE"}
	}
	return []string{"NAME", "DOMAINS", "MATCH", "VIRTUAL SERVICE"}
}

// RoutesBy returns the route tables f takes, those that came by RDS first, each group by name. left tells whether
// inline ones were left out.
func (d *Dump) RoutesBy(f RouteFilter) (tables []*routev3.RouteConfiguration, left bool) {
	var dynamic, static []*anypb.Any
	for _, r := range d.Routes.GetDynamicRouteConfigs() {
		dynamic = append(dynamic, r.GetRouteConfig())
	}
	for _, r := range d.Routes.GetStaticRouteConfigs() {
		static = append(static, r.GetRouteConfig())
	}
	take := func(all []*anypb.Any) []*routev3.RouteConfiguration {
		found := slices.DeleteFunc(messages[routev3.RouteConfiguration](all), func(r *routev3.RouteConfiguration) bool {
			return f.Name != "" && r.GetName() != f.Name
		})
		slices.SortStableFunc(found, func(a, b *routev3.RouteConfiguration) int { return comparePorts(a.GetName(), b.GetName()) })
		return found
	}
	inline := take(static)
	return append(take(dynamic), inline...), len(inline) < len(static)
}

// WriteRoutes prints route tables as rows, one a route, or as json or yaml. note takes NoteRDS if it is true.
func (d *Dump) WriteRoutes(w, note io.Writer, f RouteFilter, format string) error {
	tables, left := d.RoutesBy(f)
	if format != "table" {
		return writeMessages(w, tables, format)
	}
	if left {
		fmt.Fprintln(note, NoteRDS)
	}
	var rows [][]string
	for _, table := range tables {
		for _, host := range table.GetVirtualHosts() {
			rows = append(rows, hostRows(table.GetName(), host, f.Hosted)...)
		}
	}
	return table.Write(w, routeHeadings(f.Hosted), rows)
}

// hostRows leave out routes to where connections were going anyway: every table has them.
func hostRows(table string, host *routev3.VirtualHost, hosted bool) (rows [][]string) {
	row := func(match, source string) []string {
		cells := []string{table, host.GetName(), domainsCell(host.GetDomains()), match, source}
		if !hosted {
			cells = slices.Delete(cells, 1, 2)
		}
		return cells
	}
	if len(host.GetRoutes()) == 0 {
		return [][]string{row("/*", "404")}
	}
	for _, r := range host.GetRoutes() {
		if r.GetRoute().GetCluster() == "PassthroughCluster" {
			continue
		}
		rows = append(rows, row(routeMatch(r.GetMatch()), configSource(r.GetMetadata())))
	}
	return rows
}

func routeMatch(m *routev3.RouteMatch) string {
	switch {
	case m.GetPathSeparatedPrefix() != "":
		return "PathPrefix:" + m.GetPathSeparatedPrefix()
	case m.GetPath() != "":
		return m.GetPath()
	case m.GetSafeRegex() != nil:
		return "regex " + m.GetSafeRegex().GetRegex()
	case m.GetConnectMatcher() != nil:
		return "CONNECT"
	case m.GetPathMatchPolicy() != nil:
		return "template"
	}
	return m.GetPrefix() + "*"
}

// mostDomains is how many domains are shown before they are only counted.
const mostDomains = 2

// domainsCell shows what domains stand for: without ports, without longer forms of one that is there (a.ns beside a),
// and addresses only if nothing else is left.
func domainsCell(domains []string) string {
	var names, addresses []string
	for _, d := range domains {
		host := withoutPort(d)
		if _, err := netip.ParseAddr(strings.Trim(host, "[]")); err == nil {
			addresses = append(addresses, host)
		} else {
			names = append(names, host)
		}
	}
	shown := shortest(names)
	if len(shown) == 0 {
		shown = shortest(addresses)
	}
	if len(shown) > mostDomains {
		return fmt.Sprintf("%s + %d more...", strings.Join(shown[:mostDomains], ", "), len(shown)-mostDomains)
	}
	return strings.Join(shown, ", ")
}

func withoutPort(domain string) string {
	colon := strings.LastIndexByte(domain, ':')
	if colon < 0 || strings.HasSuffix(domain, "]") || strings.Count(domain, ":") > 1 && !strings.HasPrefix(domain, "[") {
		return domain
	}
	return domain[:colon]
}

// shortest leaves out names that another one is the beginning of, up to a dot.
func shortest(names []string) (kept []string) {
	slices.SortFunc(names, func(a, b string) int { return cmp.Or(cmp.Compare(len(a), len(b)), cmp.Compare(a, b)) })
	for _, name := range slices.Compact(names) {
		if !slices.ContainsFunc(kept, func(k string) bool { return strings.HasPrefix(name, k+".") }) {
			kept = append(kept, name)
		}
	}
	return kept
}
