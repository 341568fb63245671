package export

import (
	"context"
	"fmt"
	"time"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
	"github.com/pillion-mesh/pillion/internal/proxy/httpfilter/filter"
	"github.com/pillion-mesh/pillion/internal/proxy/httpfilter/unary"
	"github.com/pillion-mesh/pillion/internal/proxy/stream"
)

// DefaultTimeout is how long a collector may take unless its configuration says.
const DefaultTimeout = 10 * time.Second

// Client sends reports to one collector.
type Client struct {
	Send      unary.Send // how requests reach clusters
	Collector config.Collector
	Timeout   time.Duration
	Agent     string // user-agent of HTTP
	Purpose   string // for logs
}

// Call sends a message by a gRPC method, /package.Service/Method. The error may be a *unary.Error.
func (c *Client) Call(ctx context.Context, method string, message []byte) error {
	call := unary.Call{
		Cluster: c.Collector.Cluster, Authority: c.Collector.Authority, Method: method,
		Metadata: c.Collector.Headers, Timeout: c.Timeout, Message: message, Purpose: c.Purpose,
	}
	_, err := call.Do(ctx, c.Send)
	return err
}

// Post sends a body to the collector's path. Any status but 2xx is an error.
func (c *Client) Post(ctx context.Context, contentType string, body []byte) error {
	call := &filter.Call{
		Cluster: c.Collector.Cluster, Method: "POST", Host: c.Collector.Authority, Path: c.Collector.Path, Body: body, Timeout: c.Timeout, Purpose: c.Purpose,
		Fields: []stream.Field{{Name: "content-type", Value: contentType}, {Name: "user-agent", Value: c.Agent}},
	}
	if call.Host == "" {
		call.Host = c.Collector.Cluster
	}
	for _, h := range c.Collector.Headers {
		call.Fields = append(call.Fields, stream.Field{Name: h[0], Value: h[1]})
	}
	answer, err := c.Send(ctx, call)
	if err == nil && (answer.Status < 200 || answer.Status > 299) {
		err = fmt.Errorf("the collector answered %d", answer.Status)
	}
	return err
}
