//go:build linux

package main

import (
	"bufio"
	"context"
	"fmt"
	"strconv"
)

// memory is what proxies hold, in bytes, by name: at rest after their start, and with idle connections.
type memory struct {
	connections int
	names       []string
	rest, idle  map[string]float64
}

const (
	kib = 1 << 10
	mib = 1 << 20
)

// each is what one idle connection holds.
func (m *memory) each(name string) float64 {
	return (m.idle[name] - m.rest[name]) / float64(m.connections)
}

// reserved descriptors aren't for the connections that are counted.
const reserved = 512

// measureMemory starts proxies of their own: what others were asked before would count.
func (r *rig) measureMemory(ctx context.Context, p plan) (*memory, error) {
	m := &memory{connections: min(p.idle, int(r.limit)-reserved), rest: map[string]float64{}, idle: map[string]float64{}}
	for _, name := range []string{pillion, nginx, haproxy, reverseProxy} {
		if r.servers[name] == nil {
			continue
		}
		if err := r.measureIdle(ctx, m, name, p); err != nil {
			return nil, fmt.Errorf("memory of %s: %w", name, err)
		}
		m.names = append(m.names, name)
	}
	return m, nil
}

func (r *rig) measureIdle(ctx context.Context, m *memory, name string, p plan) error {
	s, err := r.startAlone(ctx, name, name+"-idle")
	if err != nil {
		return err
	}
	defer s.stop()
	rest(ctx, p.settle)
	if m.rest[name], err = rss(s.processes); err != nil {
		return err
	}
	end, err := r.hold(ctx, s.ports["http"], m.connections)
	if err != nil {
		return err
	}
	defer end()
	rest(ctx, p.settle)
	m.idle[name], err = rss(s.processes)
	return err
}

// hold opens idle connections; end closes them.
func (r *rig) hold(ctx context.Context, port, n int) (end func(), err error) {
	cmd := r.role(ctx, otherCore, roleIdle, local(port), strconv.Itoa(n))
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	p, err := launch("idle connections", cmd)
	if err != nil {
		return nil, err
	}
	end = func() { in.Close(); p.stop() }
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil || line != "ready\n" {
		end()
		return nil, fmt.Errorf("opening %d connections: %q, %w: %s", n, line, err, p.said.String())
	}
	return end, nil
}
