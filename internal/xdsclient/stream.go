package xdsclient

import (
	"context"
	"errors"
	"fmt"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"
)

var errUnasked = errors.New("this type wasn't subscribed to")

// connect keeps one stream on a connection of its own until it ends, and says why it did and whether the server had
// answered on it. A connection of its own leaves the pace of reconnecting to Run alone.
func (c *Client) connect(ctx context.Context, versions map[string]string) (answered bool, err error) {
	conn, err := c.dial()
	if err != nil {
		return false, err
	}
	defer func() { _ = conn.Close() }()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	stream, err := c.open(ctx, cancel, conn)
	if err != nil {
		return false, because(ctx, err)
	}
	s := &session{client: c, stream: stream, cancel: cancel, wire: c.wire(versions), responses: make(chan Response), ended: make(chan error, 1)}
	return s.run(ctx)
}

func (c *Client) wire(versions map[string]string) wire {
	node := proto.CloneOf[*corev3.Node](c.node)
	if c.opts.StateOfTheWorld {
		return newSotW(node, versions)
	}
	return newDelta(node)
}

func (c *Client) open(ctx context.Context, cancel context.CancelCauseFunc, conn *grpc.ClientConn) (grpc.ClientStream, error) {
	if c.opts.Headers != nil {
		headers, err := c.opts.Headers()
		if err != nil {
			return nil, fmt.Errorf("headers of the stream: %w", err)
		}
		ctx = metadata.AppendToOutgoingContext(ctx, headers...)
	}
	late := time.AfterFunc(connectTimeout, func() { cancel(fmt.Errorf("no connection within %s", connectTimeout)) })
	defer late.Stop()
	method := methods[c.opts.Service][!c.opts.StateOfTheWorld]
	return conn.NewStream(ctx, &grpc.StreamDesc{StreamName: method, ServerStreams: true, ClientStreams: true}, method)
}

// because prefers the reason a context was cancelled for to the error that followed from it.
func because(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	return err
}

// session is one stream's life. Its run owns the goroutine that reads.
type session struct {
	client    *Client
	stream    grpc.ClientStream
	cancel    context.CancelCauseFunc
	wire      wire
	responses chan Response
	ended     chan error // the reader's last word
}

func (s *session) run(ctx context.Context) (answered bool, err error) {
	go s.read(ctx)
	defer func() { // the reader ends with the stream's context
		s.cancel(nil)
		if e := <-s.ended; err == nil {
			err = e
		}
	}()
	defer s.client.stats.Connected.Store(false)
	if err := s.subscribe(); err != nil {
		return false, because(ctx, err)
	}
	for {
		select {
		case <-ctx.Done():
			return answered, context.Cause(ctx)
		case <-s.client.changed:
			err = s.subscribe()
		case r, ok := <-s.responses:
			if !ok {
				return answered, nil
			}
			answered = true
			err = s.take(r)
		}
		if err != nil {
			return answered, because(ctx, err)
		}
	}
}

// read hands responses over until the stream ends. It is at most one response ahead of the handler.
func (s *session) read(ctx context.Context) {
	defer close(s.responses)
	for {
		r, err := s.wire.read(s.stream)
		if err != nil {
			s.ended <- because(ctx, err)
			return
		}
		select {
		case s.responses <- r:
		case <-ctx.Done():
			s.ended <- context.Cause(ctx)
			return
		}
	}
}

// subscribe says what is wanted now, as far as the server doesn't know it.
func (s *session) subscribe() error {
	for _, w := range s.client.tell() {
		for _, request := range s.wire.subscribe(w, s.client.handler.Held) {
			s.client.stats.Of(w.typeURL).Attempt.Add(1)
			if err := s.send(request); err != nil {
				return err
			}
		}
	}
	return nil
}

// take has a response applied, answers it, then says what its handler wants since.
func (s *session) take(r Response) error {
	s.client.stats.Connected.Store(true)
	reason := s.apply(r)
	if err := s.send(s.wire.answer(r, reason)); err != nil {
		return err
	}
	return s.subscribe()
}

func (s *session) apply(r Response) error {
	for _, w := range s.client.wanted() {
		if w.typeURL == r.Type {
			err := s.client.handler.Apply(r)
			s.client.stats.Of(r.Type).Answered(r.Version, err)
			return err
		}
	}
	return errUnasked // not counted: a server can't make our counters grow
}

// send writes a message, and gives the stream up if the server doesn't read it.
func (s *session) send(m proto.Message) error {
	late := time.AfterFunc(sendTimeout, func() { s.cancel(fmt.Errorf("the control plane read nothing for %s", sendTimeout)) })
	defer late.Stop()
	return s.stream.SendMsg(m)
}
