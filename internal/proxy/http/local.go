package http

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/pillion-mesh/pillion/internal/proxy/http/codec"
	"github.com/pillion-mesh/pillion/internal/proxy/stream"
)

// Reply is an answer this proxy makes itself.
type Reply struct {
	Status     int
	Body       string
	Details    string // response code details
	Flags      stream.Flags
	Fields     []stream.Field
	GRPCStatus int  // 0: by Status
	silent     bool // nobody is there to be answered
}

// Answers that are always the same.
var (
	noRoute = &Reply{Status: 404, Details: "route_not_found", Flags: stream.NoRouteFound}
	noHost  = &Reply{Status: 503, Details: "no_healthy_upstream", Body: "no healthy upstream", Flags: stream.NoHealthyUpstream}
)

// Flags and words of an upstream's failures.
var (
	resetFlags = [...]stream.Flags{
		codec.Termination: stream.UpstreamConnectionTermination, codec.RemoteReset: stream.UpstreamReset,
		codec.RemoteCancel:  stream.UpstreamReset,
		codec.RefusedStream: stream.UpstreamReset, codec.ConnectFailure: stream.UpstreamConnectionFailure,
		codec.ConnectTimeout: stream.UpstreamConnectionFailure, codec.Overflow: stream.UpstreamOverflow,
		codec.Protocol: stream.UpstreamProtocolError, codec.LocalReset: stream.LocalReset, codec.Interrupted: stream.LocalReset,
	}
	resetWords = [...]string{
		codec.Termination: "connection termination", codec.RemoteReset: "remote reset",
		codec.RemoteCancel:  "remote reset",
		codec.RefusedStream: "remote refused stream reset", codec.ConnectFailure: "remote connection failure",
		codec.ConnectTimeout: "connection timeout", codec.Overflow: "overflow",
		codec.Protocol: "protocol error", codec.LocalReset: "local reset", codec.Interrupted: "local reset",
	}
)

// resetReply answers a request whose upstream failed before it answered. transport is what the network or TLS said.
func resetReply(why codec.Reason, transport string, retried bool) *Reply {
	r := &Reply{Status: http.StatusServiceUnavailable, Flags: resetFlags[why]}
	if why == codec.Protocol {
		r.Status = http.StatusBadGateway
	}
	if why == codec.Overflow {
		r.Fields = []stream.Field{{Name: "x-envoy-overloaded", Value: "true"}}
	}
	var body, details strings.Builder
	body.WriteString("upstream connect error or disconnect/reset before headers. ")
	if retried {
		body.WriteString("retried and the latest ")
	}
	body.WriteString("reset reason: " + resetWords[why])
	details.WriteString("upstream_reset_before_response_started{" + why.String())
	if transport != "" {
		body.WriteString(", transport failure reason: " + transport)
		details.WriteString("|" + strings.ReplaceAll(transport, " ", "_"))
	}
	details.WriteString("}")
	r.Body, r.Details = body.String(), details.String()
	return r
}

// dropped answers a request that the control plane wants dropped.
func (c *call) dropped() *Reply {
	reply := &Reply{Status: 503, Details: "drop_overload", Body: "drop overload", Flags: stream.DropOverload}
	if !c.m.cfg.Router.SuppressHeaders {
		reply.Fields = []stream.Field{{Name: "x-envoy-drop-overload", Value: "true"}}
	}
	return reply
}

// notBound answers a request whose session's host isn't there any more, if no other host will do.
func (c *call) notBound() *Reply {
	reply := *noHost
	if status := c.x.Session().Status; status != 0 {
		reply.Status = status
	}
	return &reply
}

// refuseReply answers a request that breaks the rules.
func refuseReply(f *codec.Failure) *Reply {
	return &Reply{Status: f.Status, Details: f.Details, Flags: stream.DownstreamProtocolError}
}

// cutReply answers a request that was cut, by why.
func (c *call) cutReply() *Reply {
	stats := c.m.stats
	has := c.timers.has
	switch {
	case c.request.broken.Load() != nil:
		return refuseReply(c.request.broken.Load())
	case has(causeGone):
		stats.RqRxReset.Add(1)
		return &Reply{Details: "downstream_remote_disconnect", Flags: stream.DownstreamReset, silent: true}
	case has(causeAbort):
		return &Reply{Details: "local_end_stream", Flags: stream.LocalReset, silent: true}
	case has(routeDeadline.cause()):
		c.timedOut()
		return &Reply{Status: 504, Details: "response_timeout", Body: "upstream request timeout", Flags: stream.UpstreamRequestTimeout}
	case has(requestDeadline.cause()):
		stats.RqTimeout.Add(1)
		return &Reply{Status: 408, Details: "request_overall_timeout", Body: "request timeout"}
	case has(streamDeadline.cause()):
		stats.RqMaxDuration.Add(1)
		return &Reply{Status: 408, Details: "max_duration_timeout", Body: "downstream duration timeout", Flags: stream.UpstreamMaxStreamDuration}
	case has(idleDeadline.cause()):
		stats.RqIdleTimeout.Add(1)
		return &Reply{Status: 408, Details: "stream_idle_timeout", Body: "stream timeout", Flags: stream.IdleTimeout}
	default:
		return &Reply{Status: 504, Details: "upstream_per_try_timeout", Body: "upstream request timeout", Flags: stream.UpstreamRequestTimeout}
	}
}

// cutFlags notes why an answer broke off that had begun.
func (c *call) cutFlags() {
	reply := c.cutReply()
	c.x.Flags |= reply.Flags
	c.x.Details = reply.Details
}

func (c *call) timedOut() {
	if t := c.forward.target; t != nil {
		t.cluster.Stats.RqTimeout.Add(1)
	}
}

// local answers with reply.
func (c *call) local(reply *Reply) {
	x := c.x
	x.Local = true
	x.Flags |= reply.Flags
	x.Details = reply.Details
	x.Response.Fields.Clear()
	x.ResponseTrailers.Clear()
	x.Response.Status, x.Response.Case = 0, nil
	if reply.silent {
		c.down.Reset(codec.LocalReset)
		return
	}
	if c.timers.causes.Load() != 0 {
		c.lastWords()
	}
	if t := c.forward.target; t != nil && x.ClusterName != "" {
		t.stats.Response(reply.Status, x.End)
	}
	x.Response.Status = reply.Status
	for _, field := range reply.Fields {
		x.Response.Fields.Add(field.Name, field.Value)
	}
	body := c.localBody(reply)
	x.Response.Length = int64(len(body))
	if c.routes != nil && x.Route != nil {
		c.routes.ResponseHeaders(x)
	}
	if c.m.filters != nil {
		c.m.filters.Response(x)
	}
	c.commonHead()
	c.writeLocal(body)
}

// answerTime is how long the answer to a request that was cut may take.
const answerTime = 10 * time.Second

// lastWords gives a call that was cut time for an answer. A connection that carries one request at a time ends with it.
func (c *call) lastWords() {
	c.watch.set(0) // whoever cut it has finished
	c.timers.reset()
	c.down.Resume()
	if c.x.Protocol != stream.HTTP2 {
		c.down.LastAnswer()
	}
	c.arm(requestDeadline, answerTime)
	c.watch.set(c.timers.next())
}

// localBody chooses the form of the answer: text, or gRPC's.
func (c *call) localBody(reply *Reply) string {
	x := c.x
	text, contentType := reply.Body, "text/plain"
	x.LocalBody = text
	if l := c.m.local; l != nil {
		text, contentType = l.apply(x, text)
	}
	if x.GRPC {
		c.grpcReply(reply.GRPCStatus, text)
		return ""
	}
	if text != "" {
		if _, there := x.Response.Fields.Get("content-type"); !there {
			x.Response.Fields.Add("content-type", contentType)
		}
	}
	return text
}

func (c *call) writeLocal(body string) {
	end := body == "" || c.x.Request.Method == http.MethodHead
	if !c.writeHead(end) || end {
		return
	}
	if err := c.down.WriteBody([]byte(body), true); err != nil {
		c.clientFailed(err)
		return
	}
	c.x.Sent = uint64(len(body))
}

// grpcReply makes a trailers-only answer. code 0: it follows from the HTTP status.
func (c *call) grpcReply(code int, text string) {
	x := c.x
	if code == 0 {
		code = grpcCode(x.Response.Status)
	}
	x.GRPCStatus = code
	x.Response.Status = http.StatusOK
	x.Response.Fields.Set("content-type", "application/grpc")
	x.Response.Fields.Set("grpc-status", strconv.Itoa(code))
	if text != "" {
		x.Response.Fields.Set("grpc-message", percentEncode(text))
	}
}

// grpcDeadlineExceeded is DEADLINE_EXCEEDED.
const grpcDeadlineExceeded = 4

// grpcCode is the gRPC status for an HTTP status.
func grpcCode(status int) int {
	switch status {
	case http.StatusBadRequest:
		return 13
	case http.StatusUnauthorized:
		return 16
	case http.StatusForbidden:
		return 7
	case http.StatusNotFound:
		return 12
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return 14
	default:
		return 2
	}
}

// percentEncode writes a grpc-message: bytes that aren't printable ASCII, and the percent sign, as %XX.
func percentEncode(text string) string {
	const digits = "0123456789ABCDEF"
	var b strings.Builder
	for i := range len(text) {
		if c := text[i]; c < ' ' || c > '~' || c == '%' {
			b.Write([]byte{'%', digits[c>>4], digits[c&15]})
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}
