package telemetry

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/pillion-mesh/pillion/internal/proxy/stream"
)

// IstioFormat is the access log format Istio's users read.
const IstioFormat = `[%START_TIME%] "%REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %PROTOCOL%" %RESPONSE_CODE% %RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS% %CONNECTION_TERMINATION_DETAILS% "%UPSTREAM_TRANSPORT_FAILURE_REASON%" %BYTES_RECEIVED% %BYTES_SENT% %DURATION% %RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)% "%REQ(X-FORWARDED-FOR)%" "%REQ(USER-AGENT)%" "%REQ(X-REQUEST-ID)%" "%REQ(:AUTHORITY)%" "%UPSTREAM_HOST%" %UPSTREAM_CLUSTER_RAW% %UPSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_REMOTE_ADDRESS% %REQUESTED_SERVER_NAME% %ROUTE_NAME%` + "\n"

// Entry is what one access log line says about a connection.
type Entry struct {
	Start            time.Time
	Duration         time.Duration
	Flags            stream.Flags
	Termination      string // why the sidecar ended it, if it did
	TransportFailure string // why TLS failed
	Received, Sent   uint64 // from and to the downstream

	UpstreamCluster                   string
	UpstreamHost, UpstreamLocal       netip.AddrPort
	DownstreamLocal, DownstreamRemote netip.AddrPort
}

// Format is a compiled access log format, safe for concurrent use.
type Format struct{ ops []op }

// op appends one part of a line.
type op func(line []byte, e *Entry) []byte

// CompileFormat compiles Envoy's format language. An operator nothing is known of is an error: a log that silently
// lacks a field is worse than none.
func CompileFormat(format string) (Format, error) {
	var f Format
	for format != "" {
		text, rest, found := strings.Cut(format, "%")
		if text != "" {
			f.ops = append(f.ops, literal(text))
		}
		if !found {
			break
		}
		name, after, closed := strings.Cut(rest, "%")
		if !closed {
			return Format{}, fmt.Errorf("access log format: the operator %q has no closing %%", "%"+rest)
		}
		o, err := operator(name)
		if err != nil {
			return Format{}, err
		}
		f.ops, format = append(f.ops, o), after
	}
	return f, nil
}

// Append appends the line of e.
func (f Format) Append(line []byte, e *Entry) []byte {
	for _, o := range f.ops {
		line = o(line, e)
	}
	return line
}

func literal(text string) op {
	return func(line []byte, _ *Entry) []byte { return append(line, text...) }
}

func operator(name string) (op, error) {
	if name == "" {
		return literal("%"), nil // "%%"
	}
	kind, _, _ := strings.Cut(name, "(")
	for _, o := range operators {
		if o.name == kind {
			return o.do, nil
		}
	}
	return nil, fmt.Errorf("access log format: the operator %%%s%% is unknown", name)
}

// operators in Envoy's terms; what only HTTP has is unset in a TCP connection.
var operators = []struct {
	name string
	do   op
}{
	{"START_TIME", func(l []byte, e *Entry) []byte { return e.Start.UTC().AppendFormat(l, "2006-01-02T15:04:05.000Z") }},
	{"RESPONSE_CODE", func(l []byte, _ *Entry) []byte { return append(l, '0') }},
	{"RESPONSE_FLAGS", func(l []byte, e *Entry) []byte { return append(l, e.Flags.String()...) }},
	{"BYTES_RECEIVED", func(l []byte, e *Entry) []byte { return strconv.AppendUint(l, e.Received, 10) }},
	{"BYTES_SENT", func(l []byte, e *Entry) []byte { return strconv.AppendUint(l, e.Sent, 10) }},
	{"DURATION", func(l []byte, e *Entry) []byte { return strconv.AppendInt(l, e.Duration.Milliseconds(), 10) }},
	{"CONNECTION_TERMINATION_DETAILS", func(l []byte, e *Entry) []byte { return orDash(l, e.Termination) }},
	{"UPSTREAM_TRANSPORT_FAILURE_REASON", func(l []byte, e *Entry) []byte { return orDash(l, e.TransportFailure) }},
	{"UPSTREAM_HOST", func(l []byte, e *Entry) []byte { return address(l, e.UpstreamHost) }},
	{"UPSTREAM_CLUSTER_RAW", func(l []byte, e *Entry) []byte { return orDash(l, e.UpstreamCluster) }},
	{"UPSTREAM_CLUSTER", func(l []byte, e *Entry) []byte { return orDash(l, e.UpstreamCluster) }},
	{"UPSTREAM_LOCAL_ADDRESS", func(l []byte, e *Entry) []byte { return address(l, e.UpstreamLocal) }},
	{"DOWNSTREAM_LOCAL_ADDRESS", func(l []byte, e *Entry) []byte { return address(l, e.DownstreamLocal) }},
	{"DOWNSTREAM_REMOTE_ADDRESS", func(l []byte, e *Entry) []byte { return address(l, e.DownstreamRemote) }},
	{"REQ", dash}, {"RESP", dash}, {"PROTOCOL", dash}, {"RESPONSE_CODE_DETAILS", dash},
	{"REQUESTED_SERVER_NAME", dash}, {"ROUTE_NAME", dash},
}

func dash(line []byte, _ *Entry) []byte { return append(line, '-') }

func orDash(line []byte, text string) []byte {
	if text == "" {
		return append(line, '-')
	}
	return append(line, text...)
}

func address(line []byte, a netip.AddrPort) []byte {
	if !a.IsValid() {
		return append(line, '-')
	}
	return a.AppendTo(line)
}
