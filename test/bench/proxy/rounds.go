//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"time"
)

// A round counts if everything but the proxy used at most noiseLimit of its core, and the host took at most stealLimit
// of either core away. A ratio whose rounds differ by more than spreadLimit of it isn't judged either.
const (
	noiseLimit  = 0.05
	stealLimit  = 0.02
	spreadLimit = 0.25
	repeats     = 3
)

// sample is one round of one proxy.
type sample struct {
	figure, user, system float64 // in the case's unit
	rate                 float64 // units a second
	p99                  time.Duration
	noise                string // empty: it counts
}

// result is a case's rounds, by proxy.
type result struct {
	kase
	names   []string // those that took part; the first is Pillion
	samples map[string][]sample
}

// measureAll runs the cases and prints their lines as they come.
func (r *rig) measureAll(ctx context.Context, o options, lines io.Writer) (*results, error) {
	all := &results{}
	p := o.plan()
	r.spare = p.spare
	for _, k := range cases {
		if len(o.cases) > 0 && !slices.Contains(o.cases, k.name) {
			continue
		}
		if _, err := exec.LookPath(k.client); k.client != "" && err != nil {
			fmt.Fprintf(os.Stderr, "bench proxy: no %s: %s skipped\n", k.client, k.name)
			continue
		}
		res, err := r.measure(ctx, k, p)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", k.name, err)
		}
		res.print(lines)
		all.speed = append(all.speed, res)
	}
	if len(o.cases) > 0 && !slices.Contains(o.cases, memoryCase) {
		return all, nil
	}
	var err error
	if all.memory, err = r.measureMemory(ctx, p); err == nil {
		all.memory.print(lines)
	}
	return all, err
}

// measure runs a case's rounds, proxies in turn.
func (r *rig) measure(ctx context.Context, k kase, p plan) (*result, error) {
	res := &result{kase: k, samples: map[string][]sample{}}
	for _, name := range append([]string{pillion}, k.peers...) {
		s := r.servers[name]
		if s == nil {
			continue
		}
		if _, err := k.load(ctx, r, s.ports[k.service], p.warmup); err != nil && !errors.Is(err, errNothing) {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		res.names = append(res.names, name)
	}
	for round := range p.rounds {
		for _, name := range res.names {
			s, err := r.round(ctx, k, r.servers[name], p)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", name, err)
			}
			res.samples[name] = append(res.samples[name], s)
			fmt.Fprintf(os.Stderr, "%s round %d: %s %.2f %s (user %.2f, system %.2f), %.4g/s %s\n",
				k.name, round+1, name, s.figure, k.unit.name, s.user, s.system, s.rate, s.noise)
		}
	}
	return res, nil
}

// round loads one proxy. A noisy round is run again as long as there are spare ones; the last one stands as it is. One
// in which nothing was done is always run again.
func (r *rig) round(ctx context.Context, k kase, s *server, p plan) (got sample, err error) {
	for range repeats {
		got, err = r.once(ctx, k, s, p.load)
		switch {
		case errors.Is(err, errNothing):
		case err != nil || got.noise == "" || r.spare == 0:
			return got, err
		default:
			r.spare--
		}
	}
	return got, err
}

func (r *rig) once(ctx context.Context, k kase, s *server, d time.Duration) (got sample, err error) {
	before, err := look(s.processes)
	if err != nil {
		return got, err
	}
	l, err := k.load(ctx, r, s.ports[k.service], d)
	if err != nil {
		return got, err
	}
	after, err := look(s.processes)
	if err != nil {
		return got, err
	}
	used := after.minus(before)
	got.user, got.system = used.user/l.units*k.unit.scale, used.system/l.units*k.unit.scale
	got.figure = got.user + got.system
	got.rate, got.p99, got.noise = l.units/used.took, l.p99, used.noise()
	return got, nil
}

// usage is what was used until a moment, or between two, in seconds.
type usage struct {
	at           time.Time
	took         float64
	user, system float64 // the proxy
	mine, other  core    // the proxies' core and the clients'
}

func look(processes []*process) (u usage, err error) {
	u.at = time.Now()
	if u.user, u.system, err = usedCPU(processes); err != nil {
		return u, err
	}
	if u.mine, err = readCore(proxyCore); err != nil {
		return u, err
	}
	u.other, err = readCore(otherCore)
	return u, err
}

func (u usage) minus(v usage) usage {
	return usage{
		took: u.at.Sub(v.at).Seconds(), user: u.user - v.user, system: u.system - v.system,
		mine:  core{u.mine.busy - v.mine.busy, u.mine.stolen - v.mine.stolen},
		other: core{u.other.busy - v.other.busy, u.other.stolen - v.other.stolen},
	}
}

// noise says what disturbed a round; empty: nothing that matters.
func (u usage) noise() string {
	if others := (u.mine.busy - u.user - u.system) / u.took; others > noiseLimit {
		return fmt.Sprintf("noisy: others used %.0f %% of the core", 100*others)
	}
	if stolen := max(u.mine.stolen, u.other.stolen) / u.took; stolen > stealLimit {
		return fmt.Sprintf("noisy: the host took %.0f %% of a core", 100*stolen)
	}
	return ""
}

func (res *result) noisy(names ...string) bool {
	return slices.ContainsFunc(names, func(name string) bool {
		return slices.ContainsFunc(res.samples[name], func(s sample) bool { return s.noise != "" })
	})
}
