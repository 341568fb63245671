package source

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
	"github.com/pillion-mesh/pillion/internal/proxy/config/xds"
	"github.com/pillion-mesh/pillion/internal/xdsclient"
)

// place names an origin: one field is set. The zero place is the ADS stream.
type place struct {
	cluster string // of a control plane beside ADS; it serves secrets
	delta   bool   // of cluster
	path    string // a file or a directory
}

// placeOf says where to ask for a resource that is named in something from an origin. Files that say `self` or `ads`
// mean themselves.
func placeOf(c xds.ConfigSource, from *origin) place {
	switch {
	case c.Path != "":
		return place{path: c.Path}
	case c.Cluster != "":
		return place{cluster: c.Cluster, delta: c.Delta}
	case from != nil && from.place.path != "":
		return from.place
	default:
		return place{}
	}
}

// origin is a place resources come from.
type origin struct {
	source *Source
	place  place
	client *xdsclient.Client
	files  *files
	stop   context.CancelFunc // nil: it isn't running
}

// Apply takes a response of this origin.
func (o *origin) Apply(r xdsclient.Response) error { return o.source.apply(o, r) }

// Held returns the versions of what this origin's resources of a type are held in.
func (o *origin) Held(typeURL string) map[string]string {
	k, ok := kindOf(typeURL)
	if !ok {
		return nil
	}
	s := o.source
	s.mu.Lock()
	defer s.mu.Unlock()
	held := map[string]string{}
	for name, e := range s.tables[k] {
		if _, leaving := s.doomed[e]; e.from != o || leaving {
			continue
		}
		if v := e.latest(); v != nil {
			held[name] = v.text
		}
	}
	return held
}

// want tells an origin which names are wanted of it. One beside ADS and the roots exists only while something is.
func (s *Source) want(p place, names *[kinds][]string) {
	o := s.origins[p]
	if o == nil {
		var err error
		if o, err = s.open(p); err != nil {
			s.opts.Log.Error(err, "A configuration source can't be used")
			return
		}
	}
	wanted := false
	for _, k := range []kind{endpoints, listeners, extensions, routes, secrets} {
		if k != listeners {
			wanted = wanted || len(names[k]) > 0
			o.want(k, names[k])
		}
	}
	if !wanted && p != (place{}) && !s.isRoot(p) {
		s.close(o)
	}
}

func (o *origin) want(k kind, names []string) {
	switch {
	case o.files != nil:
		if len(names) > 0 {
			o.files.poke()
		}
	case o.place == place{} || k == secrets:
		o.client.Want(typeURLs[k], names)
	case len(names) > 0:
		o.source.opts.Log.Info("Only secrets come over a stream of their own", "cluster", o.place.cluster, "kind", words[k], "name", names[0])
	}
}

func (s *Source) isRoot(p place) bool {
	for _, root := range s.roots {
		if root != nil && placeOf(*root, nil) == p {
			return true
		}
	}
	return false
}

// open makes the origin of a place, and runs it if the Source runs.
func (s *Source) open(p place) (*origin, error) {
	o := &origin{source: s, place: p}
	if p.path != "" {
		o.files = newFiles(p.path)
	} else {
		options, err := s.stream(p)
		if err != nil {
			return nil, err
		}
		if o.client, err = xdsclient.New(options, o); err != nil {
			return nil, err
		}
	}
	s.origins[p] = o
	s.launch(o)
	return o, nil
}

// launch starts an origin's goroutine, which the group of Run waits for.
func (s *Source) launch(o *origin) {
	if s.running == nil || s.running.Err() != nil {
		return
	}
	ctx, stop := context.WithCancel(s.running)
	o.stop = stop
	s.group.Go(func() {
		defer stop()
		if o.client != nil {
			o.client.Run(ctx)
		} else {
			o.watch(ctx)
		}
	})
}

func (s *Source) close(o *origin) {
	if o.stop != nil {
		o.stop()
	}
	delete(s.origins, o.place)
}

// stream makes the options of a stream from the bootstrap and the cluster that is the control plane.
func (s *Source) stream(p place) (xdsclient.Options, error) {
	o := xdsclient.Options{Log: s.opts.Log, StateOfTheWorld: !p.delta, Service: xdsclient.SDS}
	name := p.cluster
	if b := s.opts.Bootstrap; b != nil {
		o.Node = b.Node.Raw
		if p == (place{}) {
			name, o.Address = b.ADS.Cluster, b.ADS.Target
			o.Service, o.StateOfTheWorld = xdsclient.ADS, !b.ADS.Delta
			o.Headers = pairs(b.ADS.Metadata)
		}
	}
	if o.Address == "" {
		if err := s.dialInto(&o, name); err != nil {
			return o, err
		}
	}
	if s.opts.Stream != nil {
		o = s.opts.Stream(name, o)
	}
	return o, nil
}

func pairs(metadata [][2]string) func() ([]string, error) {
	var flat []string
	for _, each := range metadata {
		flat = append(flat, each[0], each[1])
	}
	return func() ([]string, error) { return flat, nil }
}

var errNoADS = errors.New("something comes by ADS, but the bootstrap has no ads_config")

// dialInto fills in the address of a cluster's first host, and its TLS.
func (s *Source) dialInto(o *xdsclient.Options, name string) error {
	if name == "" {
		return errNoADS
	}
	e := s.tables[clusters][name]
	if e == nil || e.latest() == nil {
		return fmt.Errorf("there is no cluster %q to get configuration from", name)
	}
	c := e.latest().cluster
	if o.Address = firstHost(c); o.Address == "" {
		return fmt.Errorf("cluster %q, where configuration comes from, has no host", name)
	}
	if c.TLS == nil {
		return nil
	}
	if s.opts.TLS == nil {
		return fmt.Errorf("cluster %q, where configuration comes from, wants TLS, which isn't built in here", name)
	}
	o.TLS = s.opts.TLS(c.TLS)
	return nil
}

func firstHost(c *config.Cluster) string {
	if c.Endpoints == nil || c.Endpoints.Load() == nil {
		return ""
	}
	for _, l := range c.Endpoints.Load().Localities {
		for _, h := range l.Hosts {
			switch {
			case h.Pipe != "":
				return "unix:" + h.Pipe
			case h.Address.IsValid():
				return h.Address.String()
			case h.Name != "":
				return h.Name + ":" + strconv.Itoa(int(h.Port))
			}
		}
	}
	return ""
}
