// Package extauthz refuses all requests until it can ask a service.
package extauthz

import (
	"context"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
	"github.com/pillion-mesh/pillion/internal/proxy/httpfilter/filter"
	"github.com/pillion-mesh/pillion/internal/proxy/stream"
)

type refuse struct{}

// New returns the filter.
func New(*config.ExtAuthz, filter.Deps) (filter.Filter, error) { return refuse{}, nil }

// Request refuses.
func (refuse) Request(context.Context, *stream.Exchange, *stream.Trace) *filter.Reply {
	return &filter.Reply{Status: 403}
}
