package source

import (
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
	"github.com/pillion-mesh/pillion/internal/proxy/config/xds"
	"github.com/pillion-mesh/pillion/internal/xdsclient"
)

// The tests of this package that aren't about decoding have resources of their own: a name in field 1 and words in
// field 2, such as `eds:a route:r to:c at:10.0.0.1:80 bad wait`.

func toy(k kind, name, words string) xdsclient.Resource {
	raw := protowire.AppendString(protowire.AppendTag(nil, 1, protowire.BytesType), name)
	raw = protowire.AppendString(protowire.AppendTag(raw, 2, protowire.BytesType), words)
	return xdsclient.Resource{Name: name, Type: typeURLs[k], Value: raw}
}

// wordsOf reads the name, and the words of all other texts.
func wordsOf(raw []byte) (name string, words []string) {
	for len(raw) > 0 {
		number, kind, n := protowire.ConsumeTag(raw)
		raw = raw[n:]
		text := ""
		if kind == protowire.BytesType {
			text, _ = protowire.ConsumeString(raw)
		}
		raw = raw[protowire.ConsumeFieldValue(number, kind, raw):]
		if number == 1 {
			name = text
		} else {
			words = append(words, strings.Fields(text)...)
		}
	}
	return name, words
}

func toyNeeds(words []string) (n xds.Needs) {
	from := xds.ConfigSource{ADS: true}
	for _, w := range words {
		if w == "wait" {
			from.FetchTimeout = time.Minute
		}
		if cluster, ok := strings.CutPrefix(w, "from:"); ok {
			from = xds.ConfigSource{Cluster: cluster}
		}
	}
	for _, w := range words {
		key, value, _ := strings.Cut(w, ":")
		ref := xds.Ref{Name: value, Source: from}
		switch key {
		case "eds":
			n.Endpoints = append(n.Endpoints, ref)
		case "route":
			n.Routes = append(n.Routes, ref)
		case "secret":
			n.Secrets = append(n.Secrets, ref)
		case "ecds":
			n.Extensions = append(n.Extensions, xds.ExtensionRef{Ref: ref})
		}
	}
	return n
}

func toyErr(k kind, name string, words []string) error {
	for _, w := range words {
		if w == "bad" {
			return problem(k, name, "bad")
		}
	}
	return nil
}

func toyCluster(raw []byte, cells xds.Cells) (*config.Cluster, xds.Needs, error) {
	name, words := wordsOf(raw)
	c := &config.Cluster{Name: name}
	for _, w := range words {
		if eds, ok := strings.CutPrefix(w, "eds:"); ok {
			c.Kind, c.Endpoints = config.EDS, cells.Endpoints(eds)
		}
		if pipe, ok := strings.CutPrefix(w, "pipe:"); ok {
			c.Endpoints = config.NewCell(&config.Endpoints{Localities: []config.Locality{{Hosts: []*config.Endpoint{{Pipe: pipe}}}}})
		}
	}
	return c, toyNeeds(words), toyErr(clusters, name, words)
}

func toyListener(raw []byte, cells xds.Cells) (*config.Listener, xds.Needs, error) {
	name, words := wordsOf(raw)
	l := &config.Listener{Name: name}
	for _, w := range words {
		key, value, _ := strings.Cut(w, ":")
		switch key {
		case "at":
			l.Addresses = append(l.Addresses, netip.MustParseAddrPort(value))
		case "to":
			l.Chains = append(l.Chains, &config.Chain{TCP: &config.TCPProxy{Clusters: []config.WeightedCluster{{Name: value}}}})
		case "route":
			l.Chains = append(l.Chains, &config.Chain{HTTP: &config.HTTPManager{RouteName: value, Routes: cells.Routes(value)}})
		case "ecds":
			l.Chains = append(l.Chains, &config.Chain{HTTP: &config.HTTPManager{Filters: []config.HTTPFilter{{Name: value, Late: cells.Filter(value)}}}})
		}
	}
	return l, toyNeeds(words), toyErr(listeners, name, words)
}

func toyRoutes(raw []byte) (*config.RouteTable, xds.Needs, error) {
	name, words := wordsOf(raw)
	t := &config.RouteTable{Name: name}
	for _, w := range words {
		if to, ok := strings.CutPrefix(w, "to:"); ok {
			t.VirtualHosts = append(t.VirtualHosts, &config.VirtualHost{Routes: []*config.Route{{Forward: &config.Forward{Cluster: to}}}})
		}
	}
	return t, xds.Needs{}, toyErr(routes, name, words)
}

func toyEndpoints(raw []byte) (*config.Endpoints, xds.Needs, error) {
	name, words := wordsOf(raw)
	return &config.Endpoints{}, xds.Needs{}, toyErr(endpoints, name, words)
}

func toySecret(raw []byte, _ xds.Files) (*xds.SecretValue, xds.Needs, error) {
	name, words := wordsOf(raw)
	return &xds.SecretValue{Certificate: &config.Certificate{}}, xds.Needs{}, toyErr(secrets, name, words)
}

func toyExtension(raw []byte, _ xds.Cells) (*config.HTTPFilter, xds.Needs, error) {
	name, words := wordsOf(raw)
	return &config.HTTPFilter{Name: name}, toyNeeds(words), toyErr(extensions, name, words)
}

var toys = Decoders{Listener: toyListener, Cluster: toyCluster, Extension: toyExtension, Routes: toyRoutes, Endpoints: toyEndpoints, Secret: toySecret}

// clock is time that a test moves.
type clock struct{ now time.Time }

func (c *clock) Now() time.Time { return c.now }

// toySource is a source of toys whose ADS stream a test speaks for.
func toySource(t testing.TB, static ...xdsclient.Resource) (*Source, *origin, *clock) {
	t.Helper()
	b := &xds.BootstrapConfig{
		ADS: xds.ADSConfig{Target: "127.0.0.1:1", Delta: true},
		CDS: &xds.ConfigSource{ADS: true}, LDS: &xds.ConfigSource{ADS: true},
	}
	for _, r := range static {
		switch r.Type {
		case xdsclient.TypeCluster:
			b.Clusters = append(b.Clusters, r.Value)
		case xdsclient.TypeListener:
			b.Listeners = append(b.Listeners, r.Value)
		case xdsclient.TypeSecret:
			b.Secrets = append(b.Secrets, r.Value)
		}
	}
	c := &clock{time.Unix(1000, 0)}
	s, err := New(Options{Bootstrap: b, Decode: toys, Now: c.Now})
	if err != nil {
		t.Fatal(err)
	}
	return s, s.origins[place{}], c
}

// push applies resources of one kind as a delta response and returns the NACK's text, empty for an ACK.
func push(t testing.TB, o *origin, k kind, version string, resources ...xdsclient.Resource) string {
	t.Helper()
	for i := range resources {
		resources[i].Version = version
	}
	return text(o.Apply(xdsclient.Response{Type: typeURLs[k], Version: version, Resources: resources}))
}

func withdraw(t testing.TB, o *origin, k kind, names ...string) {
	t.Helper()
	if err := o.Apply(xdsclient.Response{Type: typeURLs[k], Removed: names}); err != nil {
		t.Fatal(err)
	}
}

func text(err error) string {
	if err == nil {
		return ""
	}
	if errors.Is(err, errClosed) {
		return "closed"
	}
	return err.Error()
}

type (
	xdsCells      = xds.Cells
	xdsNeeds      = xds.Needs
	clusterConfig = config.Cluster
)
