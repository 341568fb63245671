package format

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/pillion-mesh/pillion/internal/proxy/stream"
)

// operator compiles one token.
func operator(t token) (op, error) {
	o, err := build(t)
	if errors.Is(err, errUnknown) {
		return op{}, fmt.Errorf("the operator %s is unknown", t.source)
	}
	if err != nil {
		return op{}, fmt.Errorf("the operator %s: %w", t.source, err)
	}
	if t.limit >= 0 {
		o = limited(o, t.limit)
	}
	return o, nil
}

// build finds the operator in one of the tables, by what it takes and gives.
func build(t token) (op, error) {
	if f, ok := withArgument[t.name]; ok {
		return f(t.arg)
	}
	if t.hasArg {
		return op{}, unknownOrBare(t.name)
	}
	if f, ok := texts[t.name]; ok {
		o := text(f)
		o.safe = strings.HasSuffix(t.name, "PROTOCOL") || strings.HasPrefix(t.name, "RESPONSE_FLAGS")
		return o, nil
	}
	if f, ok := numbers[t.name]; ok {
		return number(f), nil
	}
	if f, ok := addresses[t.name]; ok {
		return address(f), nil
	}
	if f, ok := addressParts[t.name]; ok {
		return addressPart(f), nil
	}
	return op{}, errUnknown
}

var errUnknown = errors.New("unknown operator")

// unknownOrBare tells an operator that isn't known from one that takes no argument.
func unknownOrBare(name string) error {
	if _, err := build(token{name: name}); err != nil {
		return err
	}
	return errors.New("it takes no argument")
}

// text makes an operation of a function whose empty answer means unset.
func text(f func(*stream.Exchange) string) op {
	return op{do: func(line []byte, x *stream.Exchange) ([]byte, bool) {
		value := f(x)
		return append(line, value...), value != ""
	}}
}

// number makes an operation of a function whose negative answer means unset.
func number(f func(*stream.Exchange) int64) op {
	return op{safe: true, number: true, do: func(line []byte, x *stream.Exchange) ([]byte, bool) {
		value := f(x)
		if value < 0 {
			return line, false
		}
		return strconv.AppendInt(line, value, 10), true
	}}
}

// constant is a value known when the format is compiled.
func constant(value string) op {
	return text(func(*stream.Exchange) string { return value })
}

// limited cuts a value to so many bytes. What is cut is text, even if it was a number.
func limited(o op, limit int) op {
	return op{safe: o.safe, do: func(line []byte, x *stream.Exchange) ([]byte, bool) {
		start := len(line)
		line, set := o.do(line, x)
		return line[:min(len(line), start+limit)], set
	}}
}

// hostname is the pod's name. It can't change while we run.
func hostname() string {
	name, err := os.Hostname()
	if err != nil {
		return ""
	}
	return name
}
