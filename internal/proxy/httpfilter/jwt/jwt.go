// Package jwt refuses all requests until it can verify tokens.
package jwt

import (
	"context"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
	"github.com/pillion-mesh/pillion/internal/proxy/httpfilter/filter"
	"github.com/pillion-mesh/pillion/internal/proxy/stream"
)

type refuse struct{}

// New returns the filter.
func New(*config.JWT, filter.Deps) (filter.Filter, error) { return refuse{}, nil }

// Request refuses.
func (refuse) Request(context.Context, *stream.Exchange, *stream.Trace) *filter.Reply {
	return &filter.Reply{Status: 403}
}
