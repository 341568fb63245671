//go:build linux

package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// results is everything that was measured.
type results struct {
	speed  []*result
	memory *memory // nil: wasn't asked for
}

// print writes a line a figure.
func (res *result) print(w io.Writer) {
	for _, name := range res.names {
		s := res.spread(name, figureOf)
		fmt.Fprintf(w, "proxy/%s %s %.2f %s (%.2f–%.2f; user %.2f, system %.2f; %.4g/s)%s\n", res.name, name, s.median, res.unit.name,
			s.least, s.most, res.spread(name, func(s sample) float64 { return s.user }).median,
			res.spread(name, func(s sample) float64 { return s.system }).median,
			res.spread(name, func(s sample) float64 { return s.rate }).median, noisySuffix(res.noisy(name)))
	}
	for _, peer := range res.names[1:] {
		ratio := res.ratio(peer, figureOf)
		b, v := res.verdict(peer)
		fmt.Fprintf(w, "proxy/%s vs_%s %.2f (%.2f–%.2f%s)%s\n", res.name, peer, ratio.median, ratio.least, ratio.most, barText(b, v),
			noisySuffix(res.noisy(pillion, peer)))
		if late := res.ratio(peer, p99Of); late.median > 0 {
			fmt.Fprintf(w, "proxy/%s p99_vs_%s %.2f (%.2f–%.2f)\n", res.name, peer, late.median, late.least, late.most)
		}
	}
}

func p99Of(s sample) float64 { return float64(s.p99) / float64(time.Millisecond) }

func noisySuffix(noisy bool) string {
	if noisy {
		return " noisy"
	}
	return ""
}

func barText(b bar, v verdict) string {
	switch {
	case v == reported:
		return ""
	case b.limit == 0:
		return fmt.Sprintf("; goal %.2f: %s", b.goal, v)
	}
	return fmt.Sprintf("; bar %.2f, goal %.2f: %s", b.limit, b.goal, v)
}

func (m *memory) print(w io.Writer) {
	for _, name := range m.names {
		fmt.Fprintf(w, "proxy/rest %s_rss_mib %.1f%s\n", name, m.rest[name]/mib, m.bar(name, m.rest[name]/mib, restLimit, restGoal))
		fmt.Fprintf(w, "proxy/idle%dk %s_rss_mib %.1f%s\n", m.connections/1000, name, m.idle[name]/mib,
			m.bar(name, m.idle[name]/mib, idleLimit, idleGoal))
		fmt.Fprintf(w, "proxy/idle%dk %s_connection_kib %.2f%s\n", m.connections/1000, name, m.each(name)/kib,
			m.bar(name, m.each(name)/kib, connectionLimit, connectionGo))
	}
}

// bar says how Pillion's memory stands.
func (m *memory) bar(name string, figure, limit, goal float64) string {
	if name != pillion {
		return ""
	}
	return " (" + strings.TrimPrefix(barText(bar{"", limit, goal}, judge(figure, limit, goal)), "; ") + ")"
}

// markdown writes the table of docs/performance.md.
func (r *rig) markdown(ctx context.Context, w io.Writer, all *results) {
	fmt.Fprintln(w, "| case | unit | Pillion | peers | Pillion ÷ peer (min–max) | bar (goal) | |\n|---|---|---|---|---|---|---|")
	for _, res := range all.speed {
		res.row(w)
	}
	if all.memory != nil {
		all.memory.rows(w)
	}
	fmt.Fprintf(w, "\nMeasured on %s, %s, %s.\n", time.Now().UTC().Format("2006-01-02"), machine(), strings.Join(versions(ctx), ", "))
}

func (res *result) row(w io.Writer) {
	var peers, ratios, bars, verdicts []string
	for _, peer := range res.names[1:] {
		peers = append(peers, fmt.Sprintf("%s %.1f", readable(peer), res.spread(peer, figureOf).median))
		ratio := res.ratio(peer, figureOf)
		ratios = append(ratios, fmt.Sprintf("%s **%.2f** (%.2f–%.2f)", readable(peer), ratio.median, ratio.least, ratio.most))
		if b, v := res.verdict(peer); v != reported {
			bars = append(bars, barCell(b))
			verdicts = append(verdicts, string(v))
		}
	}
	fmt.Fprintf(w, "| %s | %s | %.1f | %s | %s | %s | %s |\n", res.title, res.unit.name, res.spread(pillion, figureOf).median,
		strings.Join(peers, "<br>"), strings.Join(ratios, "<br>"), strings.Join(bars, "<br>"), strings.Join(verdicts, "<br>"))
}

func barCell(b bar) string {
	if b.limit == 0 {
		return fmt.Sprintf("(%.2f× %s)", b.goal, readable(b.peer))
	}
	return fmt.Sprintf("≤ %.2f× %s (%.2f)", b.limit, readable(b.peer), b.goal)
}

func (m *memory) rows(w io.Writer) {
	row := func(title, unit string, of func(name string) float64, limit, goal float64) {
		var peers []string
		for _, name := range m.names[1:] {
			peers = append(peers, fmt.Sprintf("%s %.1f", readable(name), of(name)))
		}
		figure := of(pillion)
		fmt.Fprintf(w, "| %s | %s | %.1f | %s | | ≤ %g (%g) | %s |\n", title, unit, figure, strings.Join(peers, "<br>"), limit, goal,
			judge(figure, limit, goal))
	}
	row("memory at rest", "MiB RSS", func(name string) float64 { return m.rest[name] / mib }, restLimit, restGoal)
	row(fmt.Sprintf("memory with %d idle HTTP connections", m.connections), "MiB RSS",
		func(name string) float64 { return m.idle[name] / mib }, idleLimit, idleGoal)
	row("an idle HTTP connection", "KiB", func(name string) float64 { return m.each(name) / kib }, connectionLimit, connectionGo)
}

// readable is how a proxy is called in the table.
func readable(name string) string {
	return strings.NewReplacer("_splice", " with splice", "reverseproxy", "net/http ReverseProxy").Replace(name)
}

var versionNumber = regexp.MustCompile(`\d+\.\d+(?:\.\d+)?(?:[-+][\w.+]+)?`)

// versions are those of everybody who took part.
func versions(ctx context.Context) (list []string) {
	for _, program := range [][]string{{"nginx", "-v"}, {"haproxy", "-v"}, {"wrk", "-v"}, {"h2load", "--version"}, {"git", "rev-parse", "--short", "HEAD"}} {
		path, err := installed(program[0])
		if err != nil {
			continue
		}
		text, _ := exec.CommandContext(ctx, path, program[1:]...).CombinedOutput() // wrk -v ends with an error
		if program[0] == "git" {
			list = append(list, "Pillion "+strings.TrimSpace(string(text)))
			continue
		}
		list = append(list, program[0]+" "+versionNumber.FindString(string(text)))
	}
	return append(list, runtime.Version())
}

var cpuModel = regexp.MustCompile(`model name\s*: (.*)`)

func machine() string {
	var name unix.Utsname
	_ = unix.Uname(&name)
	text, _ := os.ReadFile("/proc/cpuinfo")
	model := "unknown CPU"
	if match := cpuModel.FindSubmatch(text); match != nil {
		model = string(match[1])
	}
	return fmt.Sprintf("%s, %d CPUs, Linux %s", model, runtime.NumCPU(), unix.ByteSliceToString(name.Release[:]))
}
