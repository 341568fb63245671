package http

import (
	"fmt"
	"io"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
)

// TestUpstreamLog: each attempt has a line, whatever became of it, with its own status and flags; its filter applies.
func TestUpstreamLog(t *testing.T) {
	log := func(filter *config.LogFilter, name string) *config.AccessLog {
		return &config.AccessLog{Path: "/dev/stdout", Filter: filter, Format: &config.Format{Source: name + " %UPSTREAM_REQUEST_ATTEMPT_COUNT%: %RESPONSE_CODE% %RESPONSE_FLAGS% %BYTES_SENT% %ACCESS_LOG_TYPE%\n"}}
	}
	for name, c := range map[string]struct {
		answers []int // 0: the connection breaks
		want    []string
	}{
		"one":                   {[]int{200}, []string{"try 1: 200 - 4 UpstreamEnd"}},
		"an answer that failed": {[]int{503, 200}, []string{"try 1: 503 - 0 UpstreamEnd", "try 2: 200 - 4 UpstreamEnd", "bad 1: 503 - 0 UpstreamEnd"}},
		"passed on in the end":  {[]int{503, 503}, []string{"try 1: 503 - 0 UpstreamEnd", "try 2: 503 URX 4 UpstreamEnd", "bad 2: 503 URX 4 UpstreamEnd"}},
		"broken":                {[]int{0, 200}, []string{"try 1: 0 UC 0 UpstreamEnd", "try 2: 200 - 4 UpstreamEnd"}},
	} {
		t.Run(name, func(t *testing.T) {
			var n atomic.Int32
			backend := served(t, func(w http.ResponseWriter, _ *http.Request) {
				answer := c.answers[min(int(n.Add(1)), len(c.answers))-1]
				if answer == 0 {
					panic(http.ErrAbortHandler)
				}
				w.WriteHeader(answer)
				_, _ = io.WriteString(w, "body")
			})
			r := newRig(t, []string{backend}, func(r *rig) {
				r.route.Forward.Retry = &config.RetryPolicy{On: config.RetryGatewayError | config.RetryReset, Retries: 1, BaseInterval: time.Millisecond}
				r.cfg.Router.UpstreamLogs = []*config.AccessLog{log(nil, "try"), log(&config.LogFilter{Kind: config.LogStatus, Op: config.GreaterOrEqual, Value: 500}, "bad")}
			})
			if answer, _ := r.do(r.client(), "GET", "/", ""); answer.StatusCode != c.answers[len(c.answers)-1] {
				t.Fatal(fmt.Sprint(answer.StatusCode))
			}
			for _, line := range c.want {
				r.logged(line + "\n")
			}
		})
	}
}
