package unary

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/pillion-mesh/pillion/internal/proxy/httpfilter/filter"
)

// answered is an answer whose fields and trailers are written as `name: value`, one a line.
func answered(status int, body, fields, trailers string) *filter.Answer {
	a := &filter.Answer{Status: status, Body: []byte(body)}
	for line := range strings.Lines(fields) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ": ")
		a.Fields.Add(name, value)
	}
	for line := range strings.Lines(trailers) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ": ")
		a.Trailers.Add(name, value)
	}
	return a
}

func TestAnswers(t *testing.T) {
	const ok = "grpc-status: 0"
	for name, c := range map[string]struct {
		answer    *filter.Answer
		want, err string
	}{
		"an answer":       {answered(200, "\x00\x00\x00\x00\x02hi", "", ok), "hi", ""},
		"an empty one":    {answered(200, "\x00\x00\x00\x00\x00", "", ok), "", ""},
		"trailers only":   {answered(200, "", "grpc-status: 7\ngrpc-message: not%20you", ""), "", "gRPC status 7: not you"},
		"trailers count":  {answered(200, "", ok, "grpc-status: 5\ngrpc-message: 100%"), "", "gRPC status 5: 100%"},
		"no status":       {answered(200, "\x00\x00\x00\x00\x00", "", ""), "", "gRPC status 13: the answer has no grpc-status"},
		"a broken status": {answered(200, "", "grpc-status: x", ""), "", "gRPC status 13: the answer has no grpc-status"},
		"HTTP":            {answered(503, "", "", ok), "", "gRPC status 14: HTTP status 503"},
		"no message":      {answered(200, "", "", ok), "", ErrFraming.Error()},
		"half a message":  {answered(200, "\x00\x00\x00\x00\x03hi", "", ok), "", ErrFraming.Error()},
		"two messages":    {answered(200, "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00", "", ok), "", ErrFraming.Error()},
		"compressed":      {answered(200, "\x01\x00\x00\x00\x00", "", ok), "", ErrFraming.Error()},
		"unreachable":     {nil, "", "gone"},
	} {
		got, err := (&Call{}).Do(context.Background(), func(context.Context, *filter.Call) (*filter.Answer, error) {
			if c.answer == nil {
				return nil, errors.New("gone")
			}
			return c.answer, nil
		})
		if string(got) != c.want || (err == nil) != (c.err == "") || err != nil && err.Error() != c.err {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
}

func TestQuestion(t *testing.T) {
	var asked *filter.Call
	call := Call{Cluster: "c", Method: "/a.B/C", Metadata: [][2]string{{"x-a", "b"}}, Timeout: 1500 * time.Millisecond, Message: []byte("hi")}
	_, _ = call.Do(context.Background(), func(_ context.Context, c *filter.Call) (*filter.Answer, error) {
		asked = c
		return nil, errors.New("enough")
	})
	if asked.Cluster != "c" || asked.Host != "c" || asked.Path != "/a.B/C" || asked.Method != http.MethodPost || !asked.HTTP2 || string(asked.Body) != "\x00\x00\x00\x00\x02hi" ||
		fmt.Sprint(asked.Fields) != "[{te trailers} {content-type application/grpc} {grpc-timeout 1500m} {x-a b}]" {
		t.Errorf("asked %+v", asked)
	}
	for d, want := range map[time.Duration]string{time.Nanosecond: "1m", 30 * time.Hour: "108000S", 1 << 62: "99999999S"} {
		if got := timeout(d); len(got) > 9 || got != want {
			t.Errorf("%s: %s, want %s", d, got, want)
		}
	}
}
