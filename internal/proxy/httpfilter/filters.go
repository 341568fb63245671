package httpfilter

import (
	"fmt"

	"github.com/pillion-mesh/pillion/internal/proxy/httpfilter/alpn"
	"github.com/pillion-mesh/pillion/internal/proxy/httpfilter/cors"
	"github.com/pillion-mesh/pillion/internal/proxy/httpfilter/extauthz"
	"github.com/pillion-mesh/pillion/internal/proxy/httpfilter/fault"
	"github.com/pillion-mesh/pillion/internal/proxy/httpfilter/filter"
	"github.com/pillion-mesh/pillion/internal/proxy/httpfilter/forwardproxy"
	"github.com/pillion-mesh/pillion/internal/proxy/httpfilter/grpcstats"
	"github.com/pillion-mesh/pillion/internal/proxy/httpfilter/healthcheck"
	"github.com/pillion-mesh/pillion/internal/proxy/httpfilter/jwt"
	"github.com/pillion-mesh/pillion/internal/proxy/httpfilter/localratelimit"
	"github.com/pillion-mesh/pillion/internal/proxy/httpfilter/peermetadata"
	"github.com/pillion-mesh/pillion/internal/proxy/httpfilter/ratelimit"
	"github.com/pillion-mesh/pillion/internal/proxy/httpfilter/rbac"
	"github.com/pillion-mesh/pillion/internal/proxy/httpfilter/statefulsession"
	"github.com/pillion-mesh/pillion/internal/proxy/httpfilter/stats"
)

// maker makes a filter out of a configuration of its type, or nil and no error of another one.
type maker func(config any, deps Deps) (filter.Filter, error)

// makers are the filters there are, by the type of their configuration.
var makers = []maker{
	of(rbac.New),
	of(fault.New),
	of(cors.New),
	of(localratelimit.New),
	of(alpn.New),
	of(peermetadata.New),
	of(stats.New),
	of(jwt.New),
	of(extauthz.New),
	of(statefulsession.New),
	of(ratelimit.New),
	of(healthcheck.New),
	of(grpcstats.New),
	of(forwardproxy.New),
}

func of[C any](make func(*C, Deps) (filter.Filter, error)) maker {
	return func(config any, deps Deps) (filter.Filter, error) {
		if c, ok := config.(*C); ok && c != nil {
			return make(c, deps)
		}
		return nil, nil
	}
}

func newFilter(config any, deps Deps) (filter.Filter, error) {
	for _, m := range makers {
		if f, err := m(config, deps); f != nil || err != nil {
			return f, err
		}
	}
	return nil, fmt.Errorf("a configuration of type %T makes no filter", config)
}
