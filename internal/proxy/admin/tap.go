package admin

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/pillion-mesh/pillion/internal/proxy/telemetry"
)

// Tap shows requests as they pass; *telemetry.Tap is one.
type Tap interface {
	// Watch delivers lines of JSON until stop is called. It fails if too many watch already.
	Watch(f telemetry.TapFilter) (lines <-chan []byte, stop func(), err error)
}

// tapPatience is how long a client may leave a line unread; then the kernel's buffers are full as well.
const tapPatience = 30 * time.Second

// tap streams until the client goes.
func (a *api) tap(w http.ResponseWriter, r *http.Request) {
	if a.Tap == nil {
		fail(w, http.StatusNotImplemented, "this proxy shows no requests\n")
		return
	}
	f, err := tapFilter(r.URL.Query())
	if err != nil {
		failWith(w, err)
		return
	}
	lines, stop, err := a.Tap.Watch(f)
	if err != nil {
		fail(w, http.StatusServiceUnavailable, err.Error()+"\n")
		return
	}
	defer stop()
	relay(w, r, lines)
}

func relay(w http.ResponseWriter, r *http.Request, lines <-chan []byte) {
	w.Header().Set("Content-Type", "application/x-ndjson")
	w.WriteHeader(http.StatusOK)
	control := http.NewResponseController(w)
	_ = control.SetReadDeadline(time.Time{}) // the server's deadlines are for answers that end
	for {
		_ = control.SetWriteDeadline(time.Now().Add(tapPatience))
		if control.Flush() != nil {
			return
		}
		select {
		case <-r.Context().Done():
			return
		case line, open := <-lines:
			if !open {
				return
			}
			if _, err := w.Write(line); err != nil {
				return
			}
		}
	}
}

// Bounds of max_rps.
const (
	defaultTapRate = 10
	maxTapRate     = 1000
)

func tapFilter(v url.Values) (f telemetry.TapFilter, err error) {
	f = telemetry.TapFilter{Path: v.Get("path"), Method: strings.ToUpper(v.Get("method")), MaxPerSecond: defaultTapRate}
	for key := range v {
		if !contains([]string{"path", "method", "status", "max_rps"}, key) {
			return f, badRequest("the parameter " + strconv.Quote(key) + " is unknown; want path, method, status or max_rps")
		}
	}
	if text := v.Get("status"); text != "" {
		if f.Status, f.Class, err = statusOf(text); err != nil {
			return f, err
		}
	}
	if text := v.Get("max_rps"); text != "" {
		n, err := strconv.ParseUint(text, 10, 16)
		if err != nil || n == 0 || n > maxTapRate {
			return f, badRequest("max_rps " + strconv.Quote(text) + " is not between 1 and 1000")
		}
		f.MaxPerSecond = int(n)
	}
	return f, nil
}

// statusOf reads 503, or 5xx.
func statusOf(text string) (status, class int, err error) {
	if len(text) == 3 && text[0] >= '1' && text[0] <= '5' {
		if strings.EqualFold(text[1:], "xx") {
			return 0, int(text[0] - '0'), nil
		}
		if n, err := strconv.Atoi(text); err == nil {
			return n, 0, nil
		}
	}
	return 0, 0, badRequest("status " + strconv.Quote(text) + " is not a code or 1xx … 5xx")
}
