package source

import (
	"errors"
	"fmt"

	"github.com/pillion-mesh/pillion/internal/proxy/config/xds"
	"github.com/pillion-mesh/pillion/internal/xdsclient"
)

// applyBootstrap takes the static resources, then opens what the dynamic ones come from.
func (s *Source) applyBootstrap() error {
	b := s.opts.Bootstrap
	if b == nil {
		return errors.New("no bootstrap")
	}
	for _, each := range []struct {
		kind kind
		raws [][]byte
	}{{clusters, b.Clusters}, {secrets, b.Secrets}, {listeners, b.Listeners}} {
		for _, raw := range each.raws {
			if err := s.putStatic(each.kind, raw); err != nil {
				return err
			}
		}
	}
	s.roots[clusters], s.roots[listeners] = b.CDS, b.LDS
	s.settle()
	for _, k := range []kind{clusters, listeners} {
		if err := s.openRoot(k); err != nil {
			return err
		}
	}
	s.stale = true
	return nil
}

func (s *Source) putStatic(k kind, raw []byte) error {
	name := xds.Name(raw)
	if s.tables[k][name] != nil {
		return fmt.Errorf("bootstrap: %w", problem(k, name, "named twice"))
	}
	e := &entry{resource: resource{k, name}}
	s.tables[k][name] = e
	if err := s.decode(e, xdsclient.Resource{Name: name, Type: typeURLs[k], Value: raw}); err != nil {
		return fmt.Errorf("bootstrap: %w", err)
	}
	return nil
}

// openRoot opens where all clusters or all listeners come from.
func (s *Source) openRoot(k kind) error {
	root := s.roots[k]
	if root == nil {
		return nil
	}
	p := placeOf(*root, nil)
	if p.cluster != "" {
		return fmt.Errorf("bootstrap: %ss come from cluster %q by a stream of their own: use ads", words[k], p.cluster)
	}
	o := s.origins[p]
	if o == nil {
		var err error
		if o, err = s.open(p); err != nil {
			return fmt.Errorf("bootstrap: %w", err)
		}
	}
	if o.client != nil {
		o.client.WantAll(typeURLs[k])
	}
	return nil
}
