package source

import (
	"time"
	"unique"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
	"github.com/pillion-mesh/pillion/internal/proxy/config/xds"
	"github.com/pillion-mesh/pillion/internal/xdsclient"
)

// kind is a kind of resource. Their order is that in which one push is applied.
type kind uint8

const (
	clusters kind = iota
	endpoints
	listeners
	extensions
	routes
	secrets
	kinds
)

var typeURLs = [kinds]string{
	clusters: xdsclient.TypeCluster, endpoints: xdsclient.TypeEndpoints, listeners: xdsclient.TypeListener,
	extensions: xdsclient.TypeExtension, routes: xdsclient.TypeRoutes, secrets: xdsclient.TypeSecret,
}

// words name a kind in messages.
var words = [kinds]string{"cluster", "endpoints", "listener", "extension", "route", "secret"}

func kindOf(typeURL string) (kind, bool) {
	for k, each := range typeURLs {
		if each == typeURL {
			return kind(k), true
		}
	}
	return kinds, false
}

// resource names one resource.
type resource struct {
	kind kind
	name string
}

// entry is all that is known of one resource.
type entry struct {
	resource
	from    *origin  // nil: the bootstrap
	active  *version // in use; of clusters and listeners in the Runtime
	warming *version // a cluster or a listener that isn't whole yet
	refused *refusal // what was sent last, if it was refused
	blocked bool     // refused because another listener has its address
}

// version is one state of a resource. Its bytes stay as they came: dumps show them, and the same bytes aren't decoded
// again.
type version struct {
	text     string // as the control plane calls it
	raw      raw
	updated  time.Time
	listener *config.Listener // of a listener
	cluster  *config.Cluster  // of a cluster
	needs    []need
	names    <-chan struct{} // closed when a cluster's names were looked up; nil: they aren't waited for
}

// need is a resource that another one names.
type need struct {
	resource
	from  unique.Handle[xds.ConfigSource]
	late  *config.HTTPFilter // default of an extension
	ready bool               // an extension that serves its default at once
	types []string           // type URLs an extension may have
}

// refusal is a version that was refused.
type refusal struct {
	text string
	raw  raw
	at   time.Time
	err  *xds.Error
}

// latest is what was accepted last, nil if nothing was.
func (e *entry) latest() *version {
	if e.warming != nil {
		return e.warming
	}
	return e.active
}

func (e *entry) static() bool { return e.from == nil }

// intern keeps one copy of a text that many resources have.
func intern(text string) string { return unique.Make(text).Value() }

// needsOf flattens what a decoder said an object needs.
func needsOf(n xds.Needs) []need {
	total := len(n.Endpoints) + len(n.Routes) + len(n.Secrets) + len(n.Extensions)
	if total == 0 {
		return nil
	}
	all := make([]need, 0, total)
	for _, each := range []struct {
		kind kind
		refs []xds.Ref
	}{{endpoints, n.Endpoints}, {routes, n.Routes}, {secrets, n.Secrets}} {
		for _, ref := range each.refs {
			all = append(all, need{resource: resource{each.kind, ref.Name}, from: unique.Make(ref.Source)})
		}
	}
	for _, ref := range n.Extensions {
		all = append(all, need{resource: resource{extensions, ref.Name}, from: unique.Make(ref.Source), late: ref.Default, ready: ref.ServeDefault, types: ref.Types})
	}
	return all
}
