package upstream

import "github.com/pillion-mesh/pillion/internal/proxy/config"

// caches are the caches of names that clusters use, by their settings: the name is one of them. Envoy refuses two settings
// under one name; here they are two caches.
type caches map[config.DNSCache]*nameCache

// of returns the cache of a cluster; nil: it has none.
func (c *caches) of(cfg *config.Cluster) *nameCache {
	if cfg.Kind != config.DynamicForward || cfg.Cache == nil {
		return nil
	}
	n := (*c)[*cfg.Cache]
	if n == nil {
		n = &nameCache{}
		if *c == nil {
			*c = caches{}
		}
		(*c)[*cfg.Cache] = n
	}
	return n
}

// prune forgets the caches that no cluster uses.
func (c *caches) prune(clusters map[string]*Cluster) {
	used := map[config.DNSCache]bool{}
	for _, cluster := range clusters {
		if cfg := cluster.Config(); cfg.Cache != nil {
			used[*cfg.Cache] = true
		}
	}
	for settings := range *c {
		if !used[settings] {
			delete(*c, settings)
		}
	}
}
