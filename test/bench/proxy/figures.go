//go:build linux

package main

import "slices"

// spread is a figure over the rounds.
type spread struct{ median, least, most float64 }

func spreadOf(values []float64) spread {
	slices.Sort(values)
	n := len(values)
	return spread{(values[(n-1)/2] + values[n/2]) / 2, values[0], values[n-1]}
}

func (res *result) spread(name string, of func(sample) float64) spread {
	var values []float64
	for _, s := range res.samples[name] {
		values = append(values, of(s))
	}
	return spreadOf(values)
}

func figureOf(s sample) float64 { return s.figure }

// ratio compares Pillion with a peer, round by round.
func (res *result) ratio(peer string, of func(sample) float64) spread {
	var values []float64
	for i, s := range res.samples[peer] {
		if d := of(s); d > 0 {
			values = append(values, of(res.samples[pillion][i])/d)
		}
	}
	if len(values) == 0 {
		return spread{}
	}
	return spreadOf(values)
}

// verdict is what a bar makes of a figure.
type verdict string

// Verdicts. reported: there is no bar; unjudged: there is one, but the rounds were noisy.
const (
	reported verdict = ""
	reached  verdict = "goal reached"
	met      verdict = "met"
	missed   verdict = "missed"
	unjudged verdict = "noisy: not judged"
)

// judge compares a figure with the most it may be; a limit of 0: only the goal is told.
func judge(figure, limit, goal float64) verdict {
	switch {
	case figure <= goal:
		return reached
	case limit == 0:
		return "goal missed"
	case figure <= limit:
		return met
	}
	return missed
}

// verdict judges the ratio to a peer.
func (res *result) verdict(peer string) (bar, verdict) {
	at := slices.IndexFunc(res.bars, func(b bar) bool { return b.peer == peer })
	if at < 0 {
		return bar{}, reported
	}
	b, ratio := res.bars[at], res.ratio(peer, figureOf)
	if res.noisy(pillion, peer) || ratio.most-ratio.least > spreadLimit*ratio.median {
		return b, unjudged
	}
	return b, judge(ratio.median, b.limit, b.goal)
}
