package telemetry

import (
	"bufio"
	"encoding/json"
	"io"
	"strconv"
)

// WriteJSON writes statistics as /stats?format=json does: {"stats":[{"name","value"} …, {"histograms":…}]}.
func (s *Store) WriteJSON(w io.Writer, p Process, q Query) error {
	out := bufio.NewWriter(w) // keeps its first error until Flush
	_, _ = out.WriteString(`{"stats":[`)
	first := true
	var histograms []line
	s.lines(p, q, func(l line) {
		if l.kind == histogramKind {
			histograms = append(histograms, l)
			return
		}
		separate(out, &first)
		_, _ = out.Write(l.object())
	})
	if len(histograms) > 0 {
		separate(out, &first)
		writeHistograms(out, histograms, q.Buckets)
	}
	_, _ = out.WriteString("]}")
	return out.Flush()
}

func separate(out *bufio.Writer, first *bool) {
	if !*first {
		_ = out.WriteByte(',')
	}
	*first = false
}

func (l *line) object() []byte {
	value := any(l.value)
	if l.kind == textKind {
		value = l.text
	}
	text, _ := json.Marshal(struct { // strings and numbers always marshal
		Name  string `json:"name"`
		Value any    `json:"value"`
	}{l.name, value})
	return text
}

func writeHistograms(out *bufio.Writer, list []line, b Buckets) {
	var v any
	switch b {
	case BucketsCumulative, BucketsDisjoint:
		v = bucketsOf(list, b)
	case BucketsDetailed:
		v = map[string]any{"supported_percentiles": percents(), "details": detailsOf(list)}
	default:
		v = map[string]any{"supported_quantiles": percents(), "computed_quantiles": quantilesOf(list)}
	}
	text, _ := json.Marshal(map[string]any{"histograms": v})
	_, _ = out.Write(text)
}

func percents() (list []float64) {
	for _, q := range quantiles {
		list = append(list, q*100)
	}
	return list
}

type jsonQuantile struct {
	Interval   *float64 `json:"interval"` // null: intervals aren't kept
	Cumulative *float64 `json:"cumulative"`
}

func quantilesOf(list []line) any {
	type computed struct {
		Name   string         `json:"name"`
		Values []jsonQuantile `json:"values"`
	}
	all := []computed{}
	for _, l := range list {
		all = append(all, computed{l.name, l.dist.jsonQuantiles()})
	}
	return all
}

func (d *distribution) jsonQuantiles() []jsonQuantile {
	values := make([]jsonQuantile, len(quantiles))
	for i, q := range quantiles {
		if d.count() > 0 {
			value, _ := strconv.ParseFloat(short(d.quantile(q)), 64)
			values[i].Cumulative = &value
		}
	}
	return values
}

func bucketsOf(list []line, b Buckets) any {
	type bucket struct {
		Bound      float64 `json:"upper_bound"`
		Interval   uint64  `json:"interval"`
		Cumulative uint64  `json:"cumulative"`
	}
	type histogram struct {
		Name    string   `json:"name"`
		Buckets []bucket `json:"buckets"`
	}
	all := []histogram{}
	for _, l := range list {
		h := histogram{Name: l.name, Buckets: []bucket{}}
		for i, n := range l.dist.told(b) {
			if i < len(bounds) {
				h.Buckets = append(h.Buckets, bucket{bounds[i], 0, n})
			}
		}
		all = append(all, h)
	}
	return all
}

func detailsOf(list []line) any {
	type bucket struct {
		Low   float64 `json:"lower_bound"`
		Width float64 `json:"width"`
		Count uint64  `json:"count"`
	}
	type detail struct {
		Name        string         `json:"name"`
		Totals      []bucket       `json:"totals"`
		Intervals   []bucket       `json:"intervals"`
		Percentiles []jsonQuantile `json:"percentiles"`
	}
	all := []detail{}
	for _, l := range list {
		d := detail{Name: l.name, Totals: []bucket{}, Intervals: []bucket{}, Percentiles: l.dist.jsonQuantiles()}
		for i, n := range l.dist.buckets {
			if low, high := bucketEnds(i); n > 0 {
				d.Totals = append(d.Totals, bucket{low, high - low, n})
			}
		}
		all = append(all, d)
	}
	return all
}
