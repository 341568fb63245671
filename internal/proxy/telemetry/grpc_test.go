package telemetry

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// grpcLines is what /stats says below a cluster's grpc., and Prometheus of it.
func grpcLines(t *testing.T, s *Store) (text, prometheus string) {
	t.Helper()
	var b, p strings.Builder
	if err := s.WriteText(&b, Process{}, Query{}); err != nil {
		t.Fatal(err)
	}
	if err := s.Prometheus(&p, Process{}, Query{}); err != nil {
		t.Fatal(err)
	}
	return only(b.String(), "cluster.c.grpc.", "cluster.c.ratelimit."), only(p.String(), "envoy_cluster_grpc_", "envoy_cluster_ratelimit_")
}

func only(text string, prefixes ...string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		for _, prefix := range prefixes {
			if strings.HasPrefix(line, prefix) {
				b.WriteString(line)
			}
		}
	}
	return b.String()
}

func TestGRPCCounters(t *testing.T) {
	s := NewStore(0, Labels{})
	c := s.Cluster("c")
	if text, _ := grpcLines(t, s); text != "" {
		t.Errorf("before anything was counted: %s", text)
	}
	c.GRPC("", "").Done(1, 0, 2, 3)
	c.GRPC("", "").Done(2, -1, 1, 0)
	m := c.GRPC("a.B", "C")
	m.Done(1, 14, 1, 0)
	m.Done(1, 99, 1, 0)
	m.Took(7 * time.Millisecond)
	c.Extra("ratelimit.ok").Add(4)
	text, prometheus := grpcLines(t, s)
	const want = `cluster.c.grpc.0: 1
cluster.c.grpc.a.B.C.14: 1
cluster.c.grpc.a.B.C.failure: 2
cluster.c.grpc.a.B.C.request_message_count: 2
cluster.c.grpc.a.B.C.response_message_count: 0
cluster.c.grpc.a.B.C.success: 0
cluster.c.grpc.a.B.C.total: 2
cluster.c.grpc.failure: 0
cluster.c.grpc.request_message_count: 3
cluster.c.grpc.response_message_count: 3
cluster.c.grpc.success: 1
cluster.c.grpc.total: 1
cluster.c.ratelimit.ok: 4
cluster.c.grpc.a.B.C.upstream_rq_time: P0`
	if !strings.HasPrefix(text, want) {
		t.Errorf("got\n%s", text)
	}
	for _, line := range []string{
		`envoy_cluster_grpc_14{cluster_name="c",grpc_bridge_service="a.B",grpc_bridge_method="C"} 1`,
		`envoy_cluster_grpc_success{cluster_name="c"} 1`, `envoy_cluster_ratelimit_ok{cluster_name="c"} 4`,
		`envoy_cluster_grpc_upstream_rq_time_count{cluster_name="c",grpc_bridge_service="a.B",grpc_bridge_method="C"} 1`,
	} {
		if !strings.Contains(prometheus, line+"\n") {
			t.Errorf("no %s in\n%s", line, prometheus)
		}
	}
	s.ResetCounters()
	if text, _ := grpcLines(t, s); strings.Contains(text, ": 1\n") || !strings.Contains(text, "cluster.c.ratelimit.ok: 0\n") {
		t.Errorf("after the reset\n%s", text)
	}
	s.ForgetCluster(c)
	if text, prometheus := grpcLines(t, s); text != "" || prometheus != "" {
		t.Errorf("a cluster that is gone is told: %s%s", text, prometheus)
	}
}

// TestGRPCMethodsAreBounded: whoever makes up methods gets no memory for it.
func TestGRPCMethodsAreBounded(t *testing.T) {
	s := NewStore(0, Labels{})
	c := s.Cluster("c")
	for i := range 4 * mostMethods {
		c.GRPC("a.B", fmt.Sprint("M", i)).Done(1, 0, 1, 1)
	}
	for _, name := range []string{"", "a b", "ä", "a\"", "a/b", strings.Repeat("x", longestMethod)} {
		if got := c.GRPC("s", name); got != c.GRPC("", "") {
			t.Errorf("%.20q has counters of its own", name)
		}
	}
	if n := len(c.calls.methods); n != mostMethods {
		t.Errorf("%d methods are kept", n)
	}
	text, _ := grpcLines(t, s)
	for _, line := range []string{
		fmt.Sprintf("cluster.c.grpc.pillion_methods_over: %d\n", 3*mostMethods+6), fmt.Sprintf("cluster.c.grpc.total: %d\n", 3*mostMethods), "cluster.c.grpc.a.B.M0.total: 1\n",
	} {
		if !strings.Contains(text, line) {
			t.Errorf("no %q", line)
		}
	}
	for i := range 2 * mostExtras {
		c.Extra(fmt.Sprint(i)).Add(1)
	}
	if n := len(c.extras.counters); n != mostExtras {
		t.Errorf("%d extra counters are kept", n)
	}
}

func TestGRPCCountingAllocatesNothing(t *testing.T) {
	c := NewStore(0, Labels{}).Cluster("c")
	c.Extra("ratelimit.ok")
	count := func() {
		c.GRPC("a.B", "C").Done(3, 0, 1, 1)
		c.GRPC("", "").Done(3, 0, 1, 1)
		c.Extra("ratelimit.ok").Add(1)
	}
	count()
	if n := testing.AllocsPerRun(100, count); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
