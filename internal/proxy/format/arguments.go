package format

import (
	"errors"
	"fmt"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/pillion-mesh/pillion/internal/proxy/stream"
)

// withArgument are the operators that take an argument, or may.
var withArgument = map[string]func(arg string) (op, error){
	"REQ":                             requestHeader,
	"RESP":                            headerOf(func(x *stream.Exchange) *stream.Fields { return &x.Response.Fields }),
	"TRAILER":                         headerOf(func(x *stream.Exchange) *stream.Fields { return &x.ResponseTrailers }),
	"START_TIME":                      startTime,
	"EMIT_TIME":                       emitTime,
	"START_TIME_LOCAL":                startTimeLocal,
	"RESPONSE_CODE_DETAILS":           codeDetails,
	"GRPC_STATUS":                     grpcStatus,
	"COMMON_DURATION":                 commonDuration,
	"PATH":                            path,
	"QUERY_PARAM":                     queryParam,
	"QUERY_PARAMS":                    queryParams,
	"ENVIRONMENT":                     environment,
	"HOSTNAME":                        plain(constant(hostname())),
	"UNIQUE_ID":                       plain(op{safe: true, do: uniqueID}),
	"UPSTREAM_HOST_NAME_WITHOUT_PORT": plain(text(func(x *stream.Exchange) string { return withoutPort(hostName(x)) })),
	"DYNAMIC_METADATA":                metadataOf(dynamicMetadata),
	"CLUSTER_METADATA":                metadataOf(clusterMetadata),
	"UPSTREAM_METADATA":               metadataOf(hostMetadata),
	"METADATA":                        anyMetadata,
	"FILTER_STATE":                    filterState,
	"UPSTREAM_FILTER_STATE":           filterState,
	"DOWNSTREAM_PEER_CERT_V_START":    certTime(downTLS, notBefore),
	"DOWNSTREAM_PEER_CERT_V_END":      certTime(downTLS, notAfter),
	"UPSTREAM_PEER_CERT_V_START":      certTime(upTLS, notBefore),
	"UPSTREAM_PEER_CERT_V_END":        certTime(upTLS, notAfter),
}

// plain is an operator that takes no argument.
func plain(o op) func(string) (op, error) {
	return func(arg string) (op, error) {
		if arg != "" {
			return op{}, errors.New("it takes no argument")
		}
		return o, nil
	}
}

// names are a header and the one to take if the request hasn't got it: A?B.
func names(arg string) (first, second string, err error) {
	first, second, _ = strings.Cut(strings.ToLower(arg), "?")
	if first == "" || strings.Contains(second, "?") {
		return "", "", errors.New("want a header's name, or two with ? between them")
	}
	return first, second, nil
}

// requestHeader is REQ. x-envoy-original-path is also known to the exchange, without a header.
func requestHeader(arg string) (op, error) {
	first, second, err := names(arg)
	return op{do: func(line []byte, x *stream.Exchange) ([]byte, bool) {
		value, ok := ofRequest(x, first)
		if !ok && second != "" {
			value, ok = ofRequest(x, second)
		}
		return append(line, value...), ok
	}}, err
}

func ofRequest(x *stream.Exchange, name string) (string, bool) {
	value, ok := x.Request.Header(name)
	if name[0] == ':' {
		return value, value != ""
	}
	if !ok && name == "x-envoy-original-path" && x.Request.OriginalPath != "" {
		return x.Request.OriginalPath, true
	}
	return value, ok
}

func headerOf(fields func(*stream.Exchange) *stream.Fields) func(string) (op, error) {
	return func(arg string) (op, error) {
		first, second, err := names(arg)
		return op{do: func(line []byte, x *stream.Exchange) ([]byte, bool) {
			value, ok := fields(x).Get(first)
			if !ok && second != "" {
				value, ok = fields(x).Get(second)
			}
			return append(line, value...), ok
		}}, err
	}
}

// codeDetails has its blanks replaced, for it stands unquoted in the usual formats.
func codeDetails(arg string) (op, error) {
	if arg == "ALLOW_WHITESPACES" {
		return text(func(x *stream.Exchange) string { return x.Details }), nil
	}
	if arg != "" {
		return op{}, errors.New("want ALLOW_WHITESPACES or no argument")
	}
	return op{do: func(line []byte, x *stream.Exchange) ([]byte, bool) {
		start := len(line)
		line = append(line, x.Details...)
		for i := start; i < len(line); i++ {
			if line[i] == ' ' || line[i] == '\t' || line[i] == '\n' {
				line[i] = '_'
			}
		}
		return line, x.Details != ""
	}}, nil
}

// environment is read once: a process's environment doesn't change.
func environment(arg string) (op, error) {
	if arg == "" {
		return op{}, errors.New("want a variable's name")
	}
	return constant(os.Getenv(arg)), nil
}

func withoutPort(host string) string {
	if i := strings.LastIndexByte(host, ':'); i >= 0 && !strings.HasSuffix(host, "]") {
		return host[:i]
	}
	return host
}

// path is PATH(WITH_QUERY|NO_QUERY:ORIG|PATH|ORIG_OR_PATH).
func path(arg string) (op, error) {
	query, which, _ := strings.Cut(arg, ":")
	if query != "" && query != "WITH_QUERY" && query != "WQ" && query != "NO_QUERY" && query != "NQ" {
		return op{}, fmt.Errorf("the query option %q is not WITH_QUERY or NO_QUERY", query)
	}
	if which != "" && which != "ORIG" && which != "PATH" && which != "ORIG_OR_PATH" {
		return op{}, fmt.Errorf("the path option %q is not ORIG, PATH or ORIG_OR_PATH", which)
	}
	noQuery := strings.HasPrefix(query, "N")
	return text(func(x *stream.Exchange) string {
		value := chosenPath(&x.Request, which)
		if noQuery {
			value, _, _ = strings.Cut(value, "?")
		}
		return value
	}), nil
}

func chosenPath(r *stream.Request, which string) string {
	if which == "ORIG" || which != "PATH" && r.OriginalPath != "" {
		return r.OriginalPath
	}
	return r.Path
}

func queryParam(arg string) (op, error) {
	if arg == "" {
		return op{}, errors.New("want a parameter's name")
	}
	return op{do: func(line []byte, x *stream.Exchange) ([]byte, bool) {
		_, query, _ := strings.Cut(x.Request.Path, "?")
		for query != "" {
			var pair string
			pair, query, _ = strings.Cut(query, "&")
			key, value, _ := strings.Cut(pair, "=")
			if key == arg || unescaped(key) == arg {
				return append(line, value...), true
			}
		}
		return line, false
	}}, nil
}

func unescaped(text string) string {
	plain, err := url.QueryUnescape(text)
	if err != nil {
		return text
	}
	return plain
}

// queryParams is the whole query, as it came.
func queryParams(arg string) (op, error) {
	if arg != "" && arg != "ORIG" && arg != "DECODED" {
		return op{}, fmt.Errorf("the option %q is not ORIG or DECODED", arg)
	}
	return text(func(x *stream.Exchange) string {
		_, query, _ := strings.Cut(x.Request.Path, "?")
		if arg == "DECODED" {
			query = unescaped(query)
		}
		return query
	}), nil
}

// moments are COMMON_DURATION's time points, since a request's start.
var moments = map[string]func(*stream.Exchange) time.Duration{
	"DS_RX_BEG": func(*stream.Exchange) time.Duration { return 0 },
	"DS_RX_END": func(x *stream.Exchange) time.Duration { return x.RequestEnd },
	"US_TX_BEG": func(x *stream.Exchange) time.Duration { return x.FirstUpstreamTx },
	"US_TX_END": func(x *stream.Exchange) time.Duration { return x.LastUpstreamTx },
	"US_RX_BEG": func(x *stream.Exchange) time.Duration { return x.FirstUpstreamRx },
	"US_RX_END": func(x *stream.Exchange) time.Duration { return x.LastUpstreamRx },
	"DS_TX_BEG": func(x *stream.Exchange) time.Duration { return x.FirstTx },
	"DS_TX_END": func(x *stream.Exchange) time.Duration { return x.End },
}

var precisions = map[string]time.Duration{"": time.Millisecond, "ms": time.Millisecond, "us": time.Microsecond, "ns": time.Nanosecond}

// commonDuration is COMMON_DURATION(FROM:TO:PRECISION).
func commonDuration(arg string) (op, error) {
	from, rest, _ := strings.Cut(arg, ":")
	to, precision, _ := strings.Cut(rest, ":")
	start, end, unit := moments[from], moments[to], precisions[precision]
	if start == nil || end == nil || unit == 0 {
		return op{}, errors.New("want two of DS_RX_BEG … DS_TX_END and ms, us or ns, with : between them")
	}
	return number(func(x *stream.Exchange) int64 {
		if start(x) == 0 && from != "DS_RX_BEG" {
			return -1
		}
		return elapsed(start(x), end(x), unit)
	}), nil
}
