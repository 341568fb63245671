// Package unary makes gRPC calls of one question and one answer by the way filters send requests to clusters. A method
// and the bytes of a message come in; the bytes of the answer, or an *Error with its status, go out. What messages mean
// is the caller's: protobuf isn't needed here.
package unary

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/pillion-mesh/pillion/internal/proxy/httpfilter/filter"
	"github.com/pillion-mesh/pillion/internal/proxy/stream"
)

// Send is filter.Deps' Call.
type Send func(context.Context, *filter.Call) (*filter.Answer, error)

// Call is one call.
type Call struct {
	Cluster   string
	Authority string // empty: the cluster's name
	Method    string // /package.Service/Method
	Metadata  [][2]string
	Timeout   time.Duration // 0: none but ctx's
	Message   []byte
	Most      int    // bytes of the answer, more is an error; 0: 1 MiB
	Purpose   string // for logs
}

// Error is a call's status other than OK.
type Error struct {
	Status  int // gRPC's
	Message string
}

func (e *Error) Error() string { return fmt.Sprintf("gRPC status %d: %s", e.Status, e.Message) }

// unavailable and internal are the statuses given where the server gave none.
const (
	internal    = 13
	unavailable = 14
)

// Do makes the call. The error is an *Error if the server, or whatever stands before it, answered at all.
func (c *Call) Do(ctx context.Context, send Send) ([]byte, error) {
	answer, err := send(ctx, c.request())
	if err != nil {
		return nil, err
	}
	if err := status(answer); err != nil {
		return nil, err
	}
	return unframe(answer.Body)
}

func (c *Call) request() *filter.Call {
	r := &filter.Call{
		Cluster: c.Cluster, Method: "POST", Host: c.Authority, Path: c.Method, HTTP2: true, Timeout: c.Timeout, Purpose: c.Purpose,
		Fields: []stream.Field{{Name: "te", Value: "trailers"}, {Name: "content-type", Value: "application/grpc"}},
		Body:   frame(c.Message), MostAnswer: c.Most,
	}
	if r.Host == "" {
		r.Host = c.Cluster
	}
	if c.Timeout > 0 {
		r.Fields = append(r.Fields, stream.Field{Name: "grpc-timeout", Value: timeout(c.Timeout)})
	}
	for _, m := range c.Metadata {
		r.Fields = append(r.Fields, stream.Field{Name: m[0], Value: m[1]})
	}
	return r
}

// timeout writes at most eight digits and a unit, as the header wants it.
func timeout(d time.Duration) string {
	if ms := max(1, d.Milliseconds()); ms < 1e8 {
		return strconv.FormatInt(ms, 10) + "m"
	}
	return strconv.FormatInt(min(int64(d/time.Second), 1e8-1), 10) + "S"
}

// prefix is how many bytes are before a message: whether it is compressed, and its length.
const prefix = 5

func frame(message []byte) []byte {
	b := make([]byte, prefix, prefix+len(message))
	binary.BigEndian.PutUint32(b[1:], uint32(len(message)))
	return append(b, message...)
}

// ErrFraming is the error of an answer that is OK and holds something else than one message.
var ErrFraming = errors.New("the answer is not one uncompressed gRPC message")

func unframe(body []byte) ([]byte, error) {
	if len(body) < prefix || body[0] != 0 || uint64(binary.BigEndian.Uint32(body[1:])) != uint64(len(body)-prefix) {
		return nil, ErrFraming
	}
	return body[prefix:], nil
}

// status reads the call's status, from the trailers or an answer without body.
func status(a *filter.Answer) error {
	if a.Status != 200 {
		return &Error{unavailable, "HTTP status " + strconv.Itoa(a.Status)}
	}
	fields := &a.Trailers
	code, there := fields.Get("grpc-status")
	if !there {
		fields = &a.Fields
		code, there = fields.Get("grpc-status")
	}
	n, err := strconv.Atoi(code)
	switch {
	case !there || err != nil:
		return &Error{internal, "the answer has no grpc-status"}
	case n != 0:
		return &Error{n, message(fields.Value("grpc-message"))}
	}
	return nil
}

// message undoes percent-encoding; what isn't valid stays as it is.
func message(text string) string {
	if plain, err := url.PathUnescape(text); err == nil {
		return strings.ToValidUTF8(plain, "?")
	}
	return text
}
