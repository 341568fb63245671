package scrape

import (
	"math"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/pillion-mesh/pillion/internal/ops/exposition"
)

const (
	textType        = "text/plain"
	openMetricsType = "application/openmetrics-text"
	plainText       = "text/plain;version=0.0.4"

	headerAccept  = "Accept"
	headerAgent   = "User-Agent"
	headerTimeout = "X-Prometheus-Scrape-Timeout-Seconds"

	defaultTimeout = 10 * time.Second // Prometheus's
	longestTimeout = 50 * time.Second // the server's limit is a minute
)

// requestHeader is what an application is asked with. Formats that can't be merged line by line aren't asked for, and
// several applications are asked for the one format that all of them have.
func requestHeader(scraper http.Header, several bool) http.Header {
	h := http.Header{headerAccept: {accept(scraper.Values(headerAccept), several)}}
	for _, name := range []string{headerAgent, headerTimeout} {
		if value := scraper.Get(name); value != "" {
			h.Set(name, value)
		}
	}
	return h
}

func accept(values []string, several bool) string {
	var kept []string
	for part := range strings.SplitSeq(strings.Join(values, ","), ",") {
		kind, _, _ := strings.Cut(part, ";")
		switch strings.ToLower(strings.TrimSpace(kind)) {
		case textType, openMetricsType:
			kept = append(kept, strings.TrimSpace(part))
		}
	}
	if several || len(kept) == 0 {
		return plainText
	}
	return strings.Join(kept, ",")
}

// timeout is what the scraper says it waits.
func timeout(scraper http.Header) time.Duration {
	seconds, err := strconv.ParseFloat(scraper.Get(headerTimeout), 64)
	if err != nil || math.IsNaN(seconds) || seconds <= 0 {
		return defaultTimeout
	}
	return time.Duration(min(seconds, longestTimeout.Seconds()) * float64(time.Second))
}

func isOpenMetrics(contentType string) bool {
	kind, _, _ := mime.ParseMediaType(contentType)
	return kind == openMetricsType
}

func formOf(contentType string) form {
	if isOpenMetrics(contentType) {
		return openForm
	}
	return plainForm
}

// agree is the content type of the merged page: OpenMetrics if all applications that answered speak it. One page can't
// be both: times and some types read differently.
func agree(pages []*page) string {
	contentType := exposition.ContentType
	for _, p := range pages {
		switch {
		case p.source.Kind != Application:
		case !p.openMetrics():
			return exposition.ContentType
		case contentType == exposition.ContentType:
			contentType = p.contentType()
		}
	}
	return contentType
}
