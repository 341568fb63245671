// Package format is Envoy's format language for access logs and header values: a text with %OPERATORS%, or a JSON
// object of such texts. A source comes in; Compile makes a list of operations of it, which append a request's values to
// a line. Read this file first, then operators.go for what there is; values.go and metadata.go say what each gives.
//
// Values of requests are the sender's to choose, so a line is written in a way no value can forge: see escape.go.
package format

import (
	"fmt"
	"strings"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
	"github.com/pillion-mesh/pillion/internal/proxy/stream"
)

// Format is a compiled format, safe for concurrent use.
type Format struct {
	ops    []op
	escape escaper
	// unset is what is written for an operator without a value.
	unset string
	json  []field // of a JSON format; ops is then empty
	isObj bool
}

// op is a text and the operator behind it.
type op struct {
	before string
	// do appends the operator's value. It reports false, having appended nothing of use, if the request has none. nil:
	// the text is all.
	do     func(line []byte, x *stream.Exchange) ([]byte, bool)
	safe   bool // never holds what a sender chose
	number bool // stays a number in JSON
	// json appends the value as JSON; nil: do's answer as a string.
	json func(line []byte, x *stream.Exchange) ([]byte, bool)
}

// Compile compiles the format of a header's value: what is unset is written as nothing.
func Compile(source string) (*Format, error) {
	ops, err := parse(source)
	return &Format{ops: ops, escape: escapeHeader}, err
}

// CompileLine compiles the format of a text log line: what is unset is written as "-".
func CompileLine(source string) (*Format, error) {
	ops, err := parse(source)
	return &Format{ops: ops, escape: escapeLine, unset: "-"}, err
}

// CompileValue compiles the format of a value that goes out in an encoding of its own, so that nothing in it can be taken
// for anything else: it isn't escaped. What is unset is written as that.
func CompileValue(source, unset string) (*Format, error) {
	ops, err := parse(source)
	return &Format{ops: ops, escape: func(line []byte, _ int) []byte { return line }, unset: unset}, err
}

// New compiles the format of an access log or of a local answer's body.
func New(f *config.Format) (*Format, error) {
	if f.JSON != nil {
		return CompileJSON(f.JSON, f.OmitEmpty)
	}
	compiled, err := CompileLine(f.Source)
	if f.OmitEmpty {
		compiled.unset = ""
	}
	return compiled, err
}

// Append appends what the format says of x to line.
func (f *Format) Append(line []byte, x *stream.Exchange) []byte {
	if f.isObj {
		return appendObject(line, f.json, x, f.unset == "")
	}
	for i := range f.ops {
		o := &f.ops[i]
		line = append(line, o.before...)
		if o.do == nil {
			continue
		}
		start := len(line)
		var set bool
		line, set = o.do(line, x)
		switch {
		case !set:
			line = append(line[:start], f.unset...)
		case !o.safe:
			line = f.escape(line, start)
		}
	}
	return line
}

// parse cuts a source into operations. An operator nothing is known of is an error: a log that silently lacks a field
// is worse than none.
func parse(source string) (ops []op, err error) {
	before := ""
	for source != "" {
		text, rest, found := strings.Cut(source, "%")
		before += text
		if !found {
			break
		}
		if strings.HasPrefix(rest, "%") {
			before, source = before+"%", rest[1:]
			continue
		}
		token, after, err := cutToken(rest)
		if err != nil {
			return nil, err
		}
		o, err := operator(token)
		if err != nil {
			return nil, err
		}
		o.before = before
		ops, source, before = append(ops, o), after, ""
	}
	if before != "" {
		ops = append(ops, op{before: before})
	}
	return ops, nil
}

// token is one operator taken apart: NAME(argument):limit.
type token struct {
	source, name, arg string
	hasArg            bool
	limit             int // -1: none
}

// cutToken takes an operator from rest, which begins behind its percent sign. Its argument may hold percent signs
// (START_TIME's formats do), so the closing one is looked for behind the closing parenthesis.
func cutToken(rest string) (t token, after string, err error) {
	end := strings.IndexFunc(rest, func(r rune) bool { return r != '_' && (r < 'A' || r > 'Z') && (r < '0' || r > '9') })
	if end < 0 {
		return t, "", fmt.Errorf("the operator %q has no closing %%", "%"+rest)
	}
	t.name, after, t.limit = rest[:end], rest[end:], -1
	if strings.HasPrefix(after, "(") {
		closing := strings.IndexByte(after, ')')
		if closing < 0 {
			return t, "", fmt.Errorf("the operator %q has no closing parenthesis", "%"+rest)
		}
		t.arg, t.hasArg, after = after[1:closing], true, after[closing+1:]
	}
	if strings.HasPrefix(after, ":") {
		if t.limit, after, err = cutLimit(after[1:]); err != nil {
			return t, "", fmt.Errorf("the operator %q: %w", "%"+rest, err)
		}
	}
	if !strings.HasPrefix(after, "%") {
		return t, "", fmt.Errorf("the operator %q has no closing %%", "%"+rest)
	}
	t.source = "%" + rest[:len(rest)-len(after)] + "%"
	return t, after[1:], nil
}

// cutLimit reads the number of bytes a value is cut to.
func cutLimit(text string) (limit int, after string, err error) {
	digits := 0
	for digits < len(text) && text[digits] >= '0' && text[digits] <= '9' {
		limit = limit*10 + int(text[digits]-'0')
		if digits++; digits > 9 {
			break
		}
	}
	if digits == 0 || digits > 9 {
		return 0, "", fmt.Errorf("the length behind the colon is no number")
	}
	return limit, text[digits:], nil
}

// Formats of access logs whose configuration names none: Envoy's own, and the one Istio's users read.
const (
	Default = `[%START_TIME%] "%REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %PROTOCOL%" %RESPONSE_CODE% %RESPONSE_FLAGS% ` +
		`%BYTES_RECEIVED% %BYTES_SENT% %DURATION% %RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)% "%REQ(X-FORWARDED-FOR)%" ` +
		`"%REQ(USER-AGENT)%" "%REQ(X-REQUEST-ID)%" "%REQ(:AUTHORITY)%" "%UPSTREAM_HOST%"` + "\n"
	Istio = `[%START_TIME%] "%REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %PROTOCOL%" %RESPONSE_CODE% %RESPONSE_FLAGS% ` +
		`%RESPONSE_CODE_DETAILS% %CONNECTION_TERMINATION_DETAILS% "%UPSTREAM_TRANSPORT_FAILURE_REASON%" ` +
		`%BYTES_RECEIVED% %BYTES_SENT% %DURATION% %RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)% "%REQ(X-FORWARDED-FOR)%" ` +
		`"%REQ(USER-AGENT)%" "%REQ(X-REQUEST-ID)%" "%REQ(:AUTHORITY)%" "%UPSTREAM_HOST%" %UPSTREAM_CLUSTER_RAW% ` +
		`%UPSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_REMOTE_ADDRESS% %REQUESTED_SERVER_NAME% %ROUTE_NAME%` + "\n"
)
