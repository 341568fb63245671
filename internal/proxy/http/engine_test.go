package http

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
	"github.com/pillion-mesh/pillion/internal/proxy/telemetry"
)

func TestForwards(t *testing.T) {
	backend := served(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		fmt.Fprintf(w, "%s %s %s %d %s", r.Method, r.Host, r.URL, len(body), r.Header.Get("X-Test"))
	})
	r := newRig(t, []string{backend}, nil)
	client := r.client()
	for range 3 {
		answer, body := r.do(client, "GET", "/a?b", "")
		if want := "GET " + r.address + " /a?b 0 "; answer.StatusCode != http.StatusOK || body != want {
			t.Fatalf("got %d %q, want %q", answer.StatusCode, body, want)
		}
	}
	r.logged("200 - via_upstream 0 ")
	for _, size := range []int{1, 4000, 5000, 100_000, 3_000_000} {
		_, body := r.do(client, "POST", "/", strings.Repeat("x", size))
		if want := fmt.Sprintf("POST %s / %d ", r.address, size); body != want {
			t.Fatalf("got %q, want %q", body, want)
		}
	}
}

// exchange sends bytes and returns all that comes back until the connection ends.
func (r *rig) exchange(message string) string {
	r.t.Helper()
	conn := r.raw()
	if _, err := io.WriteString(conn, message); err != nil {
		r.t.Fatal(err)
	}
	text, err := io.ReadAll(conn)
	if err != nil && len(text) == 0 {
		r.t.Fatal(err)
	}
	return string(text)
}

func TestPipelinedAreAnsweredInOrder(t *testing.T) {
	backend := served(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		fmt.Fprintf(w, "<%s %s>", r.URL.Path, body)
	})
	r := newRig(t, []string{backend}, nil)
	got := r.exchange("GET /1 HTTP/1.1\r\nHost: a\r\n\r\nPOST /2 HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc" +
		"POST /3 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\ndef\r\n0\r\n\r\nGET /4 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
	at := 0
	for _, want := range []string{"</1 >", "</2 abc>", "</3 def>", "</4 >"} {
		i := strings.Index(got[at:], want)
		if i < 0 {
			t.Fatalf("no %s in its place in\n%s", want, got)
		}
		at += i
	}
}

// An answer of our own leaves the connection open for the next request, unless a body nobody reads is in between.
func TestLocalAnswersKeepTheConnection(t *testing.T) {
	r := newRig(t, nil, func(r *rig) {
		r.route.Forward, r.route.Direct = nil, &config.DirectResponse{Status: 200, Body: "hello"}
	})
	got := r.exchange("GET /1 HTTP/1.1\r\nHost: a\r\n\r\nHEAD /2 HTTP/1.1\r\nHost: a\r\n\r\nPOST /3 HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabcGET /4 HTTP/1.1\r\nHost: a\r\n\r\n")
	if n, closed := strings.Count(got, "HTTP/1.1 200 OK"), strings.Count(got, "connection: close"); n != 3 || closed != 1 {
		t.Errorf("%d answers and %d closes; want 3, the last of which closes:\n%s", n, closed, got)
	}
}

func TestLocalAnswers(t *testing.T) {
	for name, c := range map[string]struct {
		request string
		hosts   []string
		change  func(*rig)
		want    []string
		log     string
	}{
		"no route": {
			"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", nil, func(r *rig) { r.table.VirtualHosts = nil },
			[]string{"HTTP/1.1 404 Not Found", "content-length: 0"}, "404 NR route_not_found 0 0",
		},
		"no cluster": {
			"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", nil, func(r *rig) { r.route.Forward.Cluster = "other" },
			[]string{"HTTP/1.1 503 "}, "503 NC cluster_not_found 0 0",
		},
		"no host": {
			"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", nil, nil,
			[]string{"HTTP/1.1 503 ", "content-type: text/plain", "\r\n\r\nno healthy upstream"}, "503 UH no_healthy_upstream 0 19",
		},
		"gRPC": {
			"POST / HTTP/1.1\r\nHost: a\r\nContent-Type: application/grpc\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", nil, nil,
			[]string{"HTTP/1.1 200 OK", "grpc-status: 14", "grpc-message: no healthy upstream", "content-type: application/grpc"}, "200 UH no_healthy_upstream 0 0",
		},
		"dropped": {
			"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", nil, func(r *rig) {
				all := cluster("dropping", "127.0.0.1:1")
				all.Endpoints.Store(&config.Endpoints{DropPerMillion: 1e6, Localities: all.Endpoints.Load().Localities})
				r.extra, r.route.Forward.Cluster = []*config.Cluster{all}, all.Name
				r.route.Forward.Retry = &config.RetryPolicy{On: config.Retry5xx | config.RetryConnectFailure | config.RetryReset, Retries: 3}
			},
			[]string{"HTTP/1.1 503 ", "x-envoy-drop-overload: true", "\r\n\r\ndrop overload"}, "503 DO drop_overload 0 13",
		},
		"connect failed": {
			"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", []string{"127.0.0.1:1"}, nil,
			[]string{"HTTP/1.1 503 ", "upstream connect error or disconnect/reset before headers. reset reason: remote connection failure, transport failure reason: delayed connect error: connection refused"},
			"503 UF upstream_reset_before_response_started{remote_connection_failure|delayed_connect_error:_connection_refused} 0",
		},
		"redirect": {
			"GET /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", nil, func(r *rig) {
				r.route.Forward, r.route.Redirect = nil, &config.Redirect{Code: 308, Host: "b"}
			},
			[]string{"HTTP/1.1 308 ", "location: http://b/x"}, "308 - direct_response 0 0",
		},
		"direct": {
			"HEAD /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", nil, func(r *rig) {
				r.route.Forward, r.route.Direct = nil, &config.DirectResponse{Status: 200, Body: "hello"}
			},
			[]string{"HTTP/1.1 200 OK", "content-length: 5"}, "200 - direct_response 0 0",
		},
		"bad request": {
			"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", nil, nil,
			[]string{"HTTP/1.1 400 Bad Request", "connection: close"}, "400 DPE http1.content_length_and_chunked_not_allowed 0 0",
		},
		"unknown expectation": {
			"GET / HTTP/1.1\r\nHost: a\r\nExpect: tea\r\n\r\n", nil, nil,
			[]string{"HTTP/1.1 417 "}, "417 DPE http1.unknown_expectation 0 0",
		},
		"upgrade not listed": {
			"GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade, close\r\nUpgrade: foo\r\n\r\n", nil, nil,
			[]string{"HTTP/1.1 403 "}, "403 - upgrade_failed 0 0",
		},
		"overflow": {
			"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", []string{"127.0.0.1:1"}, func(r *rig) { r.breaker = &config.Breaker{} },
			[]string{"HTTP/1.1 503 ", "x-envoy-overloaded: true", "reset reason: overflow"}, "503 UO upstream_reset_before_response_started{overflow} 0",
		},
		"HTTP/1.0 refused": {
			"GET / HTTP/1.0\r\n\r\n", nil, func(r *rig) { r.cfg.AcceptHTTP10 = false },
			[]string{"HTTP/1.1 426 "}, "426 DPE http1.http10_not_allowed",
		},
		"bad chunk": {
			"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabcd", []string{"127.0.0.1:1"}, nil,
			[]string{"HTTP/1.1 400 "}, "400 DPE http1.invalid_chunk",
		},
		"normalisation": {
			"GET /%00 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", nil, func(r *rig) { r.cfg.NormalizePath = true },
			[]string{"HTTP/1.1 400 "}, "400 - path_normalization_failed",
		},
		"mapped": {
			"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", nil, func(r *rig) {
				r.cfg.LocalReplies = &config.LocalReplies{
					Mappers: []config.LocalReplyMapper{
						{Filter: &config.LogFilter{Kind: config.LogStatus, Op: config.Equal, Value: 404}, Status: 500},
						{Filter: &config.LogFilter{Kind: config.LogStatus, Op: config.Equal, Value: 503}, Status: 555},
					},
					Body: &config.Format{Source: "<%LOCAL_REPLY_BODY%> %RESPONSE_CODE%"},
				}
			},
			[]string{"HTTP/1.1 555 ", "\r\n\r\n<no healthy upstream> 555"}, "555 UH no_healthy_upstream",
		},
		"CONNECT": {
			"CONNECT a:1 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", nil, nil,
			[]string{"HTTP/1.1 404 "}, "404 NR route_not_found",
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, c.hosts, c.change)
			got := r.exchange(c.request)
			for _, want := range c.want {
				if !strings.Contains(got, want) {
					t.Errorf("no %q in\n%s", want, got)
				}
			}
			if !strings.Contains(got, "date: ") {
				t.Errorf("no date in\n%s", got)
			}
			r.logged(c.log)
		})
	}
}

// Who watches sees a request three times: as it comes, as it is answered, as it has ended; answers of our own too.
func TestTap(t *testing.T) {
	backend := served(t, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "hello") })
	for name, hosts := range map[string][]string{"upstream": {backend}, "own": nil} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, hosts, nil)
			lines, stop, err := r.tap.Watch(telemetry.TapFilter{})
			if err != nil {
				t.Fatal(err)
			}
			defer stop()
			r.do(r.client(), "GET", "/watched", "")
			for _, want := range []string{`"req"`, `"rsp"`, `"end"`} {
				select {
				case line := <-lines:
					if !strings.Contains(string(line), want) {
						t.Errorf("%s, want %s", line, want)
					}
				case <-time.After(patient):
					t.Fatalf("no line %s", want)
				}
			}
		})
	}
}
