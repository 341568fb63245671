package route

import (
	"strconv"
	"strings"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
	"github.com/pillion-mesh/pillion/internal/proxy/stream"
)

// SampleTrace decides whether x is traced and notes it in x.Traced and in the request id, whose digits are the dice: all
// proxies a request passes come to the same answer. x-client-trace-id and x-envoy-force-trace ask for a trace.
func SampleTrace(m *config.HTTPManager, x *stream.Exchange, runtime Runtime) TraceReason {
	id := x.Request.Fields.Value(requestID)
	if m.Tracing == nil || len(id) != 36 {
		return NotTraced
	}
	dice, err := strconv.ParseUint(id[:8], 16, 64)
	if err != nil {
		return NotTraced
	}
	odds := oddsOf(m.Tracing, x)
	why := TraceReason(id[tracePlace])
	if why != TraceSampled && why != TraceByServer && why != TraceByClient {
		why = odds.sample(x, dice, runtime)
	}
	if !runtime.Takes(&config.Fraction{Key: "tracing.global_enabled", PerMillion: odds.overall}, dice) {
		why = NotTraced
	}
	x.Traced = why != NotTraced
	mark(x, id, why)
	return why
}

// odds are how many of a million requests are traced.
type odds struct{ client, random, overall uint32 }

// oddsOf are the route's, else the manager's.
func oddsOf(t *config.Tracing, x *stream.Exchange) odds {
	if x.Route != nil && x.Route.Tracing != nil {
		r := x.Route.Tracing
		return odds{r.Client, r.Random, r.Overall}
	}
	return odds{t.Client, t.Random, t.Overall}
}

func (o odds) sample(x *stream.Exchange, dice uint64, runtime Runtime) TraceReason {
	_, client := x.Request.Fields.Get("x-client-trace-id")
	_, server := x.Request.Fields.Get("x-envoy-force-trace")
	switch {
	case client && runtime.Takes(&config.Fraction{Key: "tracing.client_enabled", PerMillion: o.client}, dice):
		return TraceByClient
	case server:
		return TraceByServer
	case runtime.Takes(&config.Fraction{Key: "tracing.random_sampling", PerMillion: o.random}, dice):
		return TraceSampled
	default:
		return NotTraced
	}
}

// decorator is the header by which two proxies agree on the name of an operation.
const decorator = "x-envoy-decorator-operation"

// Decorate names x's operation after its route. A proxy before a client tells the server's proxy, which takes that name
// instead of its own.
func Decorate(x *stream.Exchange) {
	named := x.Route != nil && x.Route.Operation != ""
	if named {
		x.Operation = x.Route.Operation
	}
	if x.Conn.Direction == config.Outbound {
		if named && x.Route.Propagate {
			x.Request.Fields.Set(decorator, x.Operation)
		}
		return
	}
	if told, there := x.Request.Fields.Get(decorator); there {
		if told != "" {
			x.Operation = told
		}
		x.Request.Fields.Remove(decorator)
	}
}

// DecorateResponse is the way back: a server's proxy tells its name for the operation, if nobody told it one; a
// client's takes it.
func DecorateResponse(x *stream.Exchange) {
	if x.Conn.Direction == config.Outbound {
		if told, there := x.Response.Fields.Get(decorator); there {
			if told != "" {
				x.Operation = strings.Clone(told) // the answer's head may be gone before the span is over
			}
			x.Response.Fields.Remove(decorator)
		}
		return
	}
	if r := x.Route; r != nil && r.Propagate && r.Operation != "" && x.Operation == r.Operation {
		x.Response.Fields.Set(decorator, r.Operation)
	}
}
