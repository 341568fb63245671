package source

import (
	"github.com/pillion-mesh/pillion/internal/proxy/config"
)

// refill reads anew the files that a cluster or a listener names for certificates and trust, into the cells that its
// versions have: so no connection notices but by what it is shown. What doesn't fit together leaves all cells as they are.
func (s *Source) refill(e *entry) {
	files, changed := filesRead{}, false
	for _, v := range [...]*version{e.active, e.warming} {
		if v == nil {
			continue
		}
		fresh, err := s.decodeTLS(e, v, files)
		if err != nil {
			s.remember(e, files)
			s.opts.Log.Info("Files of a "+words[e.kind]+" were refused; what they held before stays", "name", e.name, "reason", err.Error())
			return
		}
		changed = take(v.tls(), fresh.tls()) || changed
	}
	s.remember(e, files)
	if changed {
		s.opts.Log.Info("Files of a "+words[e.kind]+" have changed, and are in use", "name", e.name)
	}
}

// decodeTLS decodes the bytes of a version once more, for its TLS contexts only.
func (s *Source) decodeTLS(e *entry, v *version, files filesRead) (fresh version, err error) {
	raw := (&inflater{}).bytes(v.raw)
	if e.kind == clusters {
		fresh.cluster, _, err = s.opts.Decode.Cluster(raw, decoding{s, files})
	} else {
		fresh.listener, _, err = s.opts.Decode.Listener(raw, decoding{s, files})
	}
	if err != nil {
		return fresh, asError(e, err)
	}
	return fresh, nil
}

// tls are the TLS contexts of a cluster or a listener; versions of the same bytes have the same ones in the same order.
func (v *version) tls() (all []*config.TLSParams) {
	add := func(c *config.ClientTLS) {
		if c != nil {
			all = append(all, &c.TLSParams)
		}
	}
	if c := v.cluster; c != nil {
		add(c.TLS)
		for i := range c.TLSMatches {
			add(c.TLSMatches[i].TLS)
		}
	}
	if l := v.listener; l != nil {
		for _, chain := range append(l.Chains[:len(l.Chains):len(l.Chains)], l.Default) {
			if chain != nil && chain.TLS != nil {
				all = append(all, &chain.TLS.TLSParams)
			}
		}
	}
	return all
}

// take moves what the cells of fresh hold into those in use. Cells of secrets are the same in both. It reports whether
// there was one that isn't.
func take(used, fresh []*config.TLSParams) (changed bool) {
	if len(used) != len(fresh) {
		return false // they aren't of the same bytes
	}
	for i, to := range used {
		for k := range min(len(to.Certificates), len(fresh[i].Certificates)) {
			changed = move(to.Certificates[k], fresh[i].Certificates[k]) || changed
		}
		if to.Trust != nil && fresh[i].Trust != nil {
			changed = move(to.Trust, fresh[i].Trust) || changed
		}
	}
	return changed
}

func move[T any](to, from *config.Cell[T]) bool {
	if to == from {
		return false
	}
	to.Store(from.Load())
	return true
}
