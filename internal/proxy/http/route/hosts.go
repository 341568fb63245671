package route

import (
	"slices"
	"strings"
	"sync"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
	"github.com/pillion-mesh/pillion/internal/proxy/stream"
)

// hosts finds virtual hosts by name: exact, then the longest `*.suffix`, then the longest `prefix.*`, then `*`.
type hosts struct {
	exact            map[string]*host
	suffixes, starts wild
	any              *host
}

// wild are domains with a star, without it. What the star stands for is never empty.
type wild struct {
	lengths []int // that there are, longest first
	hosts   map[string]*host
}

// host is a virtual host whose routes are indexed when they are first asked for.
type host struct {
	config *config.VirtualHost
	once   sync.Once
	index  routes
	ops    opsByConfig
}

func newHosts(all []*config.VirtualHost, by map[*config.VirtualHost]*host) hosts {
	t := hosts{exact: make(map[string]*host, len(all))}
	made := make([]host, len(all))
	for i, v := range all {
		h := &made[i]
		h.config = v
		by[v] = h
		for _, domain := range v.Domains {
			t.add(domain, h)
		}
	}
	t.suffixes.sort()
	t.starts.sort()
	return t
}

func (t *hosts) add(domain string, h *host) {
	switch {
	case domain == "*":
		t.any = h
	case strings.HasPrefix(domain, "*"):
		t.suffixes.add(domain[1:], h)
	case strings.HasSuffix(domain, "*"):
		t.starts.add(domain[:len(domain)-1], h)
	default:
		t.exact[domain] = h
	}
}

func (w *wild) add(text string, h *host) {
	if w.hosts == nil {
		w.hosts = map[string]*host{}
	}
	w.hosts[text] = h
	if !slices.Contains(w.lengths, len(text)) {
		w.lengths = append(w.lengths, len(text))
	}
}

func (w *wild) sort() {
	slices.Sort(w.lengths)
	slices.Reverse(w.lengths)
}

func (t *hosts) find(name string, tr *stream.Trace) *host {
	h, how := t.look(name)
	if tr.On() {
		if h == nil {
			tr.Note("virtual host", "no domain matches %q", name)
		} else {
			tr.Note("virtual host", "%s: %s matches %q", h.config.Name, how, name)
		}
	}
	return h
}

// look tries the name as it came first: it is nearly always in lower case and nearly always an exact domain.
func (t *hosts) look(name string) (h *host, how string) {
	const exactly = "the exact domain"
	if h := t.exact[name]; h != nil {
		return h, exactly
	}
	name = strings.ToLower(name)
	if h := t.exact[name]; h != nil {
		return h, exactly
	}
	for _, n := range t.suffixes.lengths {
		if n < len(name) {
			if h := t.suffixes.hosts[name[len(name)-n:]]; h != nil {
				return h, "a domain *suffix"
			}
		}
	}
	for _, n := range t.starts.lengths {
		if n < len(name) {
			if h := t.starts.hosts[name[:n]]; h != nil {
				return h, "a domain prefix*"
			}
		}
	}
	return t.any, "the domain *"
}

func (h *host) routes() *routes {
	h.once.Do(h.compile)
	return &h.index
}

func (h *host) compile() {
	h.index = newRoutes(h.config.Routes)
	h.ops = opsByConfig{}
	h.ops.add(&h.config.RequestHeaders)
	h.ops.add(&h.config.ResponseHeaders)
	for _, r := range h.config.Routes {
		h.ops.add(&r.RequestHeaders)
		h.ops.add(&r.ResponseHeaders)
		if r.Forward == nil {
			continue
		}
		for i := range r.Forward.Weighted {
			h.ops.add(&r.Forward.Weighted[i].RequestHeaders)
			h.ops.add(&r.Forward.Weighted[i].ResponseHeaders)
		}
	}
}
