//go:build linux

package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"net/netip"
	"testing"

	"github.com/pillion-mesh/pillion/internal/capture/nstest"
)

// Bars of writing the rules again and again while clients connect: nothing may escape or be refused.
const (
	reapplies  = 200
	slowestBar = 250 // ms
)

// reapply switches between two plans that both capture what four clients connect to. The pod is the tests' own, so it
// wants a testing.TB: one run of a benchmark has one.
func reapply(w io.Writer) error {
	testing.Init()
	if err := flag.Set("test.benchtime", "1x"); err != nil {
		return err
	}
	tally := nstest.Tally{First: "the pod couldn't be made"}
	err := errors.New("no run")
	testing.Benchmark(func(b *testing.B) { tally, err = hammered(b) })
	if err != nil {
		return fmt.Errorf("reapply: %w (%s)", err, tally.First)
	}
	fmt.Fprintf(w, "capture/reapply connections %d\n", tally.Connections)
	fmt.Fprintf(w, "capture/reapply leaks %d (bar 0)\n", tally.Escaped)
	fmt.Fprintf(w, "capture/reapply refused %d (bar 0)\n", tally.Failed)
	fmt.Fprintf(w, "capture/reapply slowest_ms %.1f (bar %d)\n", milliseconds(tally.Slowest), slowestBar)
	return nil
}

func hammered(b *testing.B) (all nstest.Tally, err error) {
	pod := nstest.NewPod(b)
	pod.Serve(b, 15001)
	pod.Peer.Serve(b, 80)
	lines := [][]string{injected(), {"-i", "10.77.0.0/24,fd77::/64", "-b", "8080"}}
	if err := pod.Do(func() error { return apply(lines[0]) }); err != nil {
		return all, err
	}
	stop := make(chan struct{})
	var clients []<-chan nstest.Tally
	for _, dst := range []string{"10.77.0.1:80", "[fd77::1]:80", "10.77.0.1:80", "[fd77::1]:80"} {
		d := nstest.Dial{UID: 1000, GID: 1000, Dst: netip.MustParseAddrPort(dst)}
		clients = append(clients, pod.Hammer(d, 15001, stop))
	}
	for i := range reapplies {
		err = errors.Join(err, pod.Do(func() error { return apply(lines[(i+1)%2]) }))
	}
	close(stop)
	for _, client := range clients {
		all.Add(<-client)
	}
	return all, err
}
