package source

import (
	"github.com/pillion-mesh/pillion/internal/proxy/config"
)

// cells are the places of what changes alone, by name. A cell stays the same as long as something names it.
type cells struct {
	routes       map[string]*config.Cell[config.RouteTable]
	endpoints    map[string]*config.Cell[config.Endpoints]
	certificates map[string]*config.Cell[config.Certificate]
	trusts       map[string]*config.Cell[config.Trust]
	filters      map[string]*config.Cell[config.HTTPFilter]
}

func newCells() cells {
	return cells{
		routes: map[string]*config.Cell[config.RouteTable]{}, endpoints: map[string]*config.Cell[config.Endpoints]{},
		certificates: map[string]*config.Cell[config.Certificate]{}, trusts: map[string]*config.Cell[config.Trust]{},
		filters: map[string]*config.Cell[config.HTTPFilter]{},
	}
}

func cellOf[T any](m map[string]*config.Cell[T], name string) *config.Cell[T] {
	c := m[name]
	if c == nil {
		c = &config.Cell[T]{}
		m[name] = c
	}
	return c
}

// decoding is the Source as decoders see it. It is used under the Source's lock only.
type decoding struct {
	*Source
	files filesRead // notes what is read; nil: nobody wants to know
}

// Routes returns the cell of a route table.
func (d decoding) Routes(name string) *config.Cell[config.RouteTable] {
	return cellOf(d.cells.routes, name)
}

// Endpoints returns the cell of a load assignment.
func (d decoding) Endpoints(name string) *config.Cell[config.Endpoints] {
	return cellOf(d.cells.endpoints, name)
}

// Certificate returns the cell of a secret that is a certificate.
func (d decoding) Certificate(name string) *config.Cell[config.Certificate] {
	return cellOf(d.cells.certificates, name)
}

// Trust returns the cell of a secret that is a validation context.
func (d decoding) Trust(name string) *config.Cell[config.Trust] {
	return cellOf(d.cells.trusts, name)
}

// Filter returns the cell of an extension.
func (d decoding) Filter(name string) *config.Cell[config.HTTPFilter] {
	return cellOf(d.cells.filters, name)
}

// File reads a file that a data source names.
func (d decoding) File(name string) ([]byte, error) {
	if d.files == nil {
		return d.opts.File(name)
	}
	return d.files.recording(d.opts.File)(name)
}

// filled reports whether the cell of a resource has a value.
func (c *cells) filled(r resource) bool {
	switch r.kind {
	case endpoints:
		return has(c.endpoints, r.name)
	case routes:
		return has(c.routes, r.name)
	case extensions:
		return has(c.filters, r.name)
	case secrets:
		return has(c.certificates, r.name) || has(c.trusts, r.name)
	default:
		return true
	}
}

func has[T any](m map[string]*config.Cell[T], name string) bool {
	c := m[name]
	return c != nil && c.Load() != nil
}

// forget drops the cells of names that nothing wants. Who still has one keeps its last value.
func (c *cells) forget(wanted func(kind, string) bool) {
	sweep(c.routes, routes, wanted)
	sweep(c.endpoints, endpoints, wanted)
	sweep(c.certificates, secrets, wanted)
	sweep(c.trusts, secrets, wanted)
	sweep(c.filters, extensions, wanted)
}

func sweep[T any](m map[string]*config.Cell[T], k kind, wanted func(kind, string) bool) {
	for name := range m {
		if !wanted(k, name) {
			delete(m, name)
		}
	}
}
