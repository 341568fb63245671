package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A round counts if everything else used at most this share of the proxies' core.
const (
	noiseLimit = 0.05
	repeats    = 3
)

// result is one round.
type result struct {
	user, system float64 // CPU µs a request
	rate         float64 // requests a second
}

func (r result) total() float64 { return r.user + r.system }

// measure runs the rounds of a case, proxies in turn, and prints medians with what they are beside each peer's.
func (b *bench) measure(ctx context.Context, k kase) error {
	names := []string{"pillion"}
	if k.name == "http1" {
		names = append(names, "pillion_istio")
	}
	for _, peer := range k.peers {
		if b.proxies[peer] != nil {
			names = append(names, peer)
		}
	}
	results := map[string][]result{}
	noisy := false
	for round := range rounds {
		for _, name := range names {
			r, quiet, err := b.round(ctx, b.proxies[name], k.path)
			if err != nil {
				return err
			}
			noisy = noisy || !quiet
			results[name] = append(results[name], r)
			fmt.Fprintf(os.Stderr, "%s round %d: %s %.2f µs (user %.2f, system %.2f), %.0f/s quiet=%v\n", k.name, round+1, name, r.total(), r.user, r.system, r.rate, quiet)
		}
	}
	print1(k, names, results, noisy)
	return nil
}

func print1(k kase, names []string, results map[string][]result, noisy bool) {
	suffix := ""
	if noisy {
		suffix = " noisy"
	}
	medians := map[string]float64{}
	for _, name := range names {
		r := results[name]
		slices.SortFunc(r, func(a, b result) int { return int((a.total() - b.total()) * 1000) })
		m := r[len(r)/2]
		medians[name] = m.total()
		fmt.Printf("proxy/%s_%s µs/request %.2f (user %.2f, system %.2f, range %.2f–%.2f, %.0f/s)%s\n",
			k.name, name, m.total(), m.user, m.system, r[0].total(), r[len(r)-1].total(), m.rate, suffix)
	}
	for _, name := range names {
		for _, peer := range k.peers {
			if strings.HasPrefix(name, "pillion") && medians[peer] > 0 {
				fmt.Printf("proxy/%s%s vs_%s %.2f%s\n", k.name, strings.TrimPrefix(name, "pillion"), peer, medians[name]/medians[peer], suffix)
			}
		}
	}
}

// round loads one proxy. A noisy one is run again, the last one counts as it is.
func (b *bench) round(ctx context.Context, p *process, path string) (r result, quiet bool, err error) {
	for range repeats {
		if r, quiet, err = b.once(ctx, p, path); err != nil || quiet {
			return r, quiet, err
		}
	}
	return r, quiet, err
}

var requestsOf = regexp.MustCompile(`(\d+) requests in`)

func (b *bench) once(ctx context.Context, p *process, path string) (r result, quiet bool, err error) {
	if _, err := wrk(ctx, p.address, path, roundWarmup); err != nil {
		return r, false, err
	}
	before, busyBefore, err := used(p.worker)
	if err != nil {
		return r, false, err
	}
	began := time.Now()
	n, err := wrk(ctx, p.address, path, roundTime)
	if err != nil {
		return r, false, err
	}
	took := time.Since(began).Seconds()
	after, busyAfter, err := used(p.worker)
	if err != nil {
		return r, false, err
	}
	const tickMicros = 1e6 / 100
	r.user, r.system = (after[0]-before[0])*tickMicros/n, (after[1]-before[1])*tickMicros/n
	r.rate = n / took
	own := after[0] + after[1] - before[0] - before[1]
	return r, (busyAfter-busyBefore-own)/100/took <= noiseLimit, nil
}

// wrk loads an address and returns how many requests were answered.
func wrk(ctx context.Context, address, path string, d time.Duration) (float64, error) {
	cmd := exec.CommandContext(ctx, "taskset", "-c", otherCore, "wrk", "-t1", "-c"+strconv.Itoa(connections),
		"-d"+strconv.Itoa(int(d.Seconds()))+"s", "http://"+address+path)
	text, err := cmd.CombinedOutput()
	if err != nil {
		return 0, fmt.Errorf("wrk: %w\n%s", err, text)
	}
	if strings.Contains(string(text), "Non-2xx") || strings.Contains(string(text), "Socket errors") {
		return 0, fmt.Errorf("wrk saw errors:\n%s", text)
	}
	found := requestsOf.FindSubmatch(text)
	if found == nil {
		return 0, fmt.Errorf("wrk says no number:\n%s", text)
	}
	return strconv.ParseFloat(string(found[1]), 64)
}

// used returns user and system ticks of a process, and the busy ticks of the proxies' core.
func used(pid int) (own [2]float64, busy float64, err error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return own, 0, err
	}
	fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
	own[0], _ = strconv.ParseFloat(fields[11], 64)
	own[1], _ = strconv.ParseFloat(fields[12], 64)
	stat, err := os.ReadFile("/proc/stat")
	if err != nil {
		return own, 0, err
	}
	for line := range strings.Lines(string(stat)) {
		if f := strings.Fields(line); f[0] == "cpu"+proxyCore {
			for i, text := range f[1:] {
				if i == 3 || i == 4 { // idle, waiting for disks
					continue
				}
				n, _ := strconv.ParseFloat(text, 64)
				busy += n
			}
		}
	}
	return own, busy, nil
}
