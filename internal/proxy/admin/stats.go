package admin

import (
	"bytes"
	"fmt"
	"html"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strconv"

	"github.com/pillion-mesh/pillion/internal/istio"
	"github.com/pillion-mesh/pillion/internal/ops"
	"github.com/pillion-mesh/pillion/internal/ops/exposition"
	"github.com/pillion-mesh/pillion/internal/proxy/pattern"
	"github.com/pillion-mesh/pillion/internal/proxy/telemetry"
)

// Scrape returns the handler of port 15090: metrics for everyone, and nothing else.
func Scrape(stats Stats, process func() telemetry.Process) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc(istio.PathPrometheus, ops.Get(func(w http.ResponseWriter, r *http.Request) {
		servePrometheus(w, r, stats, process())
	}))
	return mux
}

func (a *api) prometheus(w http.ResponseWriter, r *http.Request) {
	servePrometheus(w, r, a.Stats, a.Server.Process())
}

func servePrometheus(w http.ResponseWriter, r *http.Request, stats Stats, process telemetry.Process) {
	q, err := statsQuery(r.URL.Query(), prometheusBuckets)
	if err != nil {
		failWith(w, err)
		return
	}
	streamed(w, exposition.ContentType, func(out io.Writer) error { return stats.Prometheus(out, process, q) })
}

// stats is /stats in its four forms.
func (a *api) stats(w http.ResponseWriter, r *http.Request) {
	values := r.URL.Query()
	form := values.Get("format")
	if form == "prometheus" {
		a.prometheus(w, r)
		return
	}
	q, err := statsQuery(values, textBuckets)
	if err != nil {
		failWith(w, err)
		return
	}
	process := a.Server.Process()
	switch form {
	case "", "text", "active":
		streamed(w, "text/plain; charset=utf-8", func(out io.Writer) error { return a.Stats.WriteText(out, process, q) })
	case "json":
		streamed(w, jsonType, func(out io.Writer) error { return a.Stats.WriteJSON(out, process, q) })
	case "html":
		a.statsPage(w, process, q)
	default:
		failWith(w, badRequest("usage: /stats?format=json  or /stats?format=prometheus"))
	}
}

const statsPage = `<!DOCTYPE html>
<html><head><meta charset="utf-8"><title>Pillion proxy stats</title></head><body><h1>Stats</h1>
<form><label>filter <input name="filter"></label> <label><input type="checkbox" name="usedonly"> used only</label>
<input type="hidden" name="format" value="html"> <button>show</button></form>
<pre>%s</pre></body></html>
`

func (a *api) statsPage(w http.ResponseWriter, p telemetry.Process, q telemetry.Query) {
	var text bytes.Buffer
	if err := a.Stats.WriteText(&text, p, q); err != nil {
		failWith(w, err)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Security-Policy", "default-src 'none'; form-action 'self'")
	_, _ = fmt.Fprintf(w, statsPage, html.EscapeString(text.String()))
}

var (
	textBuckets = map[string]telemetry.Buckets{
		"": telemetry.BucketsDefault, "none": telemetry.BucketsDefault, "summary": telemetry.BucketsDefault,
		"cumulative": telemetry.BucketsCumulative, "disjoint": telemetry.BucketsDisjoint, "detailed": telemetry.BucketsDetailed,
	}
	prometheusBuckets = map[string]telemetry.Buckets{
		"": telemetry.BucketsCumulative, "cumulative": telemetry.BucketsCumulative, "summary": telemetry.BucketsSummary,
	}
	statTypes = map[string]telemetry.Type{
		"": telemetry.AllTypes, "All": telemetry.AllTypes, "Counters": telemetry.Counters, "Gauges": telemetry.Gauges,
		"Histograms": telemetry.Histograms, "TextReadouts": telemetry.TextReadouts,
	}
)

// statsQuery reads usedonly, filter, type, text_readouts and histogram_buckets.
func statsQuery(values url.Values, buckets map[string]telemetry.Buckets) (q telemetry.Query, err error) {
	q.UsedOnly, q.TextReadouts = values.Has("usedonly"), values.Has("text_readouts")
	if q.Filter, err = filter(values.Get("filter")); err != nil {
		return q, err
	}
	var known bool
	if q.Type, known = statTypes[values.Get("type")]; !known {
		return q, badRequest("invalid type " + strconv.Quote(values.Get("type")) + "; want All, Counters, Gauges, Histograms or TextReadouts")
	}
	if q.Buckets, known = buckets[values.Get("histogram_buckets")]; !known {
		return q, badRequest("invalid histogram_buckets " + strconv.Quote(values.Get("histogram_buckets")) +
			"; usage: /stats?histogram_buckets=(cumulative|disjoint|detailed|summary|none), and cumulative or summary in prometheus format")
	}
	return q, nil
}

// filter compiles a regular expression of the caller's; nil for an empty one.
func filter(source string) (*regexp.Regexp, error) {
	if source == "" {
		return nil, nil
	}
	compiled, err := pattern.Compile(source)
	if err != nil {
		return nil, badRequest("Invalid re2 regex: " + err.Error())
	}
	return compiled, nil
}

func (a *api) resetCounters(w http.ResponseWriter, _ *http.Request) {
	a.Stats.ResetCounters()
	ok(w)
}

func (a *api) lookups(w http.ResponseWriter, _ *http.Request) {
	l := a.Stats.Lookups()
	if !l.Enabled() {
		_, _ = io.WriteString(w, "Lookup tracking is not enabled. Use /stats/recentlookups/enable to enable.\n")
		return
	}
	var b bytes.Buffer
	l.WriteText(&b)
	_, _ = w.Write(b.Bytes())
}

func (a *api) clearLookups(w http.ResponseWriter, _ *http.Request) {
	a.Stats.Lookups().Clear()
	ok(w)
}

func (a *api) enableLookups(on bool) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		a.Stats.Lookups().Enable(on)
		ok(w)
	}
}
