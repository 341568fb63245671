package h2

import (
	"errors"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
	"github.com/pillion-mesh/pillion/internal/proxy/stream"
)

// with are the fields of a GET, with changes: a name alone removes it.
func with(changes ...string) []string {
	var fields []string
	for i := 0; i < len(getFields); i += 2 {
		if len(changes) == 1 && changes[0] == getFields[i] {
			continue
		}
		value := getFields[i+1]
		if len(changes) > 1 && changes[0] == getFields[i] {
			value, changes = changes[1], changes[2:]
		}
		fields = append(fields, getFields[i], value)
	}
	if len(changes) > 1 {
		fields = append(fields, changes...)
	}
	return fields
}

// TestRefusedRequests: section 9 of the specification. Each is a stream error, and none reaches the handler.
func TestRefusedRequests(t *testing.T) {
	for name, fields := range map[string][]string{
		"upper case":                  with("X-A", "b"),
		"empty name":                  with("", "b"),
		"name no token":               with("a b", "b"),
		"connection":                  with("connection", "close"),
		"keep-alive":                  with("keep-alive", "1"),
		"proxy-connection":            with("proxy-connection", "close"),
		"transfer-encoding":           with("transfer-encoding", "chunked"),
		"upgrade":                     with("upgrade", "websocket"),
		"te other than trailers":      with("te", "trailers, deflate"),
		"CR in a value":               with("x", "a\rb"),
		"LF in a value":               with("x", "a\nb"),
		"NUL in a value":              with("x", "a\x00b"),
		"DEL in a value":              with("x", "a\x7fb"),
		"blank before a value":        with("x", " a"),
		"blank behind a value":        with("x", "a\t"),
		"path without slash":          with(":path", "a"),
		"path empty":                  with(":path", ""),
		"path * of a GET":             with(":path", "*"),
		"path absolute":               with(":path", "http://a/"),
		"path with blank":             with(":path", "/a b"),
		"path with fragment":          with(":path", "/a#b"),
		"path not ASCII":              with(":path", "/\xc3\xa4"),
		"no path":                     with(":path"),
		"no method":                   with(":method"),
		"no scheme":                   with(":scheme"),
		"neither authority nor host":  with(":authority"),
		"method no token":             with(":method", "GE T"),
		"method of 33 bytes":          with(":method", strings.Repeat("A", 33)),
		"host other than authority":   with("host", "b"),
		"two hosts":                   with("host", "a", "host", "b"),
		"userinfo":                    with(":authority", "u@a"),
		"authority with path":         with(":authority", "a/b"),
		"authority with blank":        with(":authority", "a b"),
		"path twice":                  append(with(), ":path", "/b"),
		"unknown pseudo-header":       append([]string{":x", "y"}, with()...),
		"status in a request":         append([]string{":status", "200"}, with()...),
		"pseudo-header behind fields": {":method", "GET", ":scheme", "http", "x", "y", ":path", "/", ":authority", "a"},
		"content-length twice":        with("content-length", "0", "content-length", "0"),
		"content-length a list":       with("content-length", "0, 0"),
		"content-length signed":       with("content-length", "+0"),
		"content-length empty":        with("content-length", ""),
		"content-length too large":    with("content-length", "9223372036854775808"),
		"content-length without body": with("content-length", "1"),
		"CONNECT with path":           with(":method", "CONNECT"),
		"CONNECT without authority":   {":method", "CONNECT"},
		"CONNECT with a length":       {":method", "CONNECT", ":authority", "a:1", "content-length", "1"},
		":protocol, not allowed":      {":method", "CONNECT", ":scheme", "http", ":path", "/", ":authority", "a", ":protocol", "websocket"},
		"underscore":                  with("x_a", "b"),
	} {
		t.Run(name, func(t *testing.T) {
			counters := &Counters{}
			p := newRaw(t, serve(t, Options{Underscores: config.UnderscoresReject, Counters: counters}, func(s *ServerStream) {
				x := &stream.Exchange{}
				if s.Head(x); x.Request.Path != "/good" {
					t.Errorf("the handler got %+v", x.Request)
				}
				_ = s.WriteHead(&stream.Response{Status: 200}, true)
			}))
			p.request(1, true, fields...)
			p.expectReset(1, http2.ErrCodeProtocol)
			p.request(3, true, with(":path", "/good")...)
			p.expectStatus(3, "200")
			if n := counters.StreamErrors.Load(); n != 1 {
				t.Errorf("%d stream errors", n)
			}
		})
	}
}

func TestAcceptedRequests(t *testing.T) {
	for name, c := range map[string]struct {
		fields []string
		want   stream.Request
		field  [2]string
	}{
		"plain":            {fields: with(), want: stream.Request{Method: "GET", Scheme: "http", Authority: "a", Path: "/"}},
		"OPTIONS *":        {fields: with(":method", "OPTIONS", ":path", "*"), want: stream.Request{Method: "OPTIONS", Scheme: "http", Authority: "a", Path: "*"}},
		"host alone":       {fields: append(with(":authority"), "host", "b"), want: stream.Request{Method: "GET", Scheme: "http", Authority: "b", Path: "/"}},
		"host like it":     {fields: with("host", "A"), want: stream.Request{Method: "GET", Scheme: "http", Authority: "a", Path: "/"}},
		"CONNECT":          {fields: []string{":method", "CONNECT", ":authority", "a:1"}, want: stream.Request{Method: "CONNECT", Authority: "a:1"}},
		"te trailers":      {fields: with("te", "trailers"), want: stream.Request{Method: "GET", Scheme: "http", Authority: "a", Path: "/"}, field: [2]string{"te", "trailers"}},
		"cookie crumbs":    {fields: with("cookie", "a=b", "x", "y", "cookie", "c=d"), want: stream.Request{Method: "GET", Scheme: "http", Authority: "a", Path: "/"}, field: [2]string{"cookie", "a=b; c=d"}},
		"obs-text":         {fields: with("x", "\xff"), want: stream.Request{Method: "GET", Scheme: "http", Authority: "a", Path: "/"}, field: [2]string{"x", "\xff"}},
		"extended CONNECT": {fields: []string{":method", "CONNECT", ":scheme", "http", ":path", "/", ":authority", "a", ":protocol", "WebSocket"}, want: stream.Request{Method: "GET", Scheme: "http", Authority: "a", Path: "/", Upgrade: "websocket"}, field: [2]string{"upgrade", "websocket"}},
	} {
		t.Run(name, func(t *testing.T) {
			p := newRaw(t, serve(t, Options{AllowConnect: true}, func(s *ServerStream) {
				x := &stream.Exchange{}
				s.Head(x)
				if c.field[0] != "" && x.Request.Fields.Value(c.field[0]) != c.field[1] {
					t.Errorf("fields %+v", x.Request.Fields)
				}
				r := x.Request
				if r.Method != c.want.Method || r.Scheme != c.want.Scheme || r.Authority != c.want.Authority || r.Path != c.want.Path || r.Upgrade != c.want.Upgrade {
					t.Errorf("got %+v", r)
				}
				_ = s.WriteHead(&stream.Response{Status: 200}, true)
			}))
			p.request(1, true, c.fields...)
			p.expectStatus(1, "200")
		})
	}
}

// TestLengthOfTheBody: what comes must be what content-length told.
func TestLengthOfTheBody(t *testing.T) {
	for name, c := range map[string]struct {
		length string
		pieces []string
		good   bool
	}{
		"exact":           {"3", []string{"ab", "c"}, true},
		"too much":        {"3", []string{"ab", "cd"}, false},
		"too little":      {"3", []string{"ab", ""}, false},
		"much too much":   {"3", []string{"abcdef"}, false},
		"nothing of none": {"0", []string{""}, true},
	} {
		t.Run(name, func(t *testing.T) {
			p := newRaw(t, serve(t, Options{}, hello))
			p.request(1, false, with(":method", "POST", "content-length", c.length)...)
			for i, piece := range c.pieces {
				_ = p.WriteData(1, i == len(c.pieces)-1, []byte(piece))
			}
			if c.good {
				p.expectStatus(1, "200")
			} else {
				p.expectReset(1, http2.ErrCodeProtocol)
			}
		})
	}
}

// TestTrailers: what would change framing, routing or identity is dropped, pseudo-headers break the stream.
func TestTrailers(t *testing.T) {
	got := make(chan stream.Fields, 1)
	p := newRaw(t, serve(t, Options{}, func(s *ServerStream) {
		x := &stream.Exchange{}
		s.Head(x)
		for {
			if _, end, err := s.ReadBody(); err != nil {
				return
			} else if end {
				break
			}
		}
		got <- x.RequestTrailers
		_ = s.WriteHead(&stream.Response{Status: 200}, true)
	}))
	p.request(1, false, with(":method", "POST")...)
	p.request(1, true, "x-sum", "1", "content-length", "5", "host", "b", "authorization", "me", "cookie", "c")
	p.expectStatus(1, "200")
	if f := <-got; f.Len() != 1 || f.Value("x-sum") != "1" {
		t.Errorf("trailers %+v", f)
	}
	p.request(3, false, with(":method", "POST")...)
	p.request(3, true, ":path", "/")
	p.expectReset(3, http2.ErrCodeProtocol)
}

// TestLateTrailers: what came as trailers, and finds its stream closed when its turn comes, is a head after the end.
func TestLateTrailers(t *testing.T) {
	p, s, _ := pair(t, Options{}, hello)
	p.request(1, true, with()...)
	p.expectStatus(1, "200")
	p.expect("end of stream", func(f http2.Frame) bool { return f.Header().Flags.Has(http2.FlagDataEndStream) })
	for s.Streams() > 0 {
		time.Sleep(time.Millisecond)
	}
	m := s.opts.newMessage(true, true)
	s.in.msg = m
	var broke *Error
	if err := s.onTrailers(frameHeader{kind: frameHeaders, flags: flagEndStream, stream: 1}, m); !errors.As(err, &broke) || broke.Code != StreamClosed {
		t.Errorf("answered with %v", err)
	}
}

// TestResetsPassOn: a peer's reset of a stream is told to the other side as what it was, where that means something:
// gRPC takes CANCEL for a call that is over, and INTERNAL_ERROR for a broken server.
func TestResetsPassOn(t *testing.T) {
	for came, goes := range map[Code]Code{Cancel: Cancel, RefusedStream: RefusedStream, ProtocolError: InternalError,
		NoError: InternalError, InternalError: InternalError, EnhanceYourCalm: InternalError} {
		if got := resetCode(remoteFailure(came).Reason); got != goes {
			t.Errorf("%s goes on as %s, not %s", came, got, goes)
		}
	}
}
