// Package filter is what HTTP filters and those who run them know of each other: the interface of a filter, the answer
// it may give instead of letting a request pass, and what it is handed of the outside world. It is a leaf so that each
// filter's folder can import it.
package filter

import (
	"context"

	"github.com/pillion-mesh/pillion/internal/proxy/stream"
)

// Filter looks at requests before they go upstream. It is used by many goroutines at once.
type Filter interface {
	// Request looks at x's request and may change it. nil lets it pass; else the reply is the answer. With a trace
	// somebody only asks what would happen: the filter notes it there and leaves the world as it is (it doesn't wait,
	// spend tokens, or ask others).
	Request(ctx context.Context, x *stream.Exchange, tr *stream.Trace) *Reply
}

// Responder is a Filter that looks at answers too, also at local ones.
type Responder interface {
	Response(x *stream.Exchange)
}

// Ender is a Filter that looks at exchanges once they have ended, before they are logged: also at those whose request
// never came to it.
type Ender interface {
	End(x *stream.Exchange)
}

// Overrider is a Filter whose overrides change parts of its own configuration; of others they replace all of it.
type Overrider interface {
	Override(config any) (Filter, error)
}

// Rematcher is the context of a request's filters whose owner can choose its route anew. It is asked between two filters,
// so that what the new route says of the next ones counts.
type Rematcher interface{ Rematch() }

// Reply is an answer made here. Status is HTTP's; a gRPC request gets it as grpc-status, GRPCStatus if that isn't 0.
type Reply struct {
	Status     int
	Body       string
	Details    string // RESPONSE_CODE_DETAILS
	Flags      stream.Flags
	Fields     []stream.Field // besides content-type and what every local answer has
	GRPCStatus int
}

// SetMetadata puts a value into x's dynamic metadata.
func SetMetadata(x *stream.Exchange, name, key string, value any) {
	if x.Metadata == nil {
		x.Metadata = map[string]map[string]any{}
	}
	if x.Metadata[name] == nil {
		x.Metadata[name] = map[string]any{}
	}
	x.Metadata[name][key] = value
}
