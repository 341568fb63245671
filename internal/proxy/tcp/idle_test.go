package tcp

import (
	"net"
	"testing"
	"time"
)

// TestIdle drives the sweep by hand: the time is the test's.
func TestIdle(t *testing.T) {
	r := newRig(t, nil)
	r.tcp.IdleTimeout = time.Minute
	client := r.dial()
	server := r.accept()
	pass(t, client, server)
	r.sweepOnce(r.start.Add(50 * time.Second)) // sees the byte: activity
	pass(t, server, client)
	r.sweepOnce(r.start.Add(100 * time.Second))
	r.sweepOnce(r.start.Add(159 * time.Second)) // 59 s of silence
	if r.Active() != 1 {
		t.Fatal("closed before its idle timeout")
	}
	r.sweepOnce(r.start.Add(161 * time.Second))
	r.wantLine("SI tcp_session_idle_timeout 1 1 c")
}

// TestMaxDuration: activity doesn't help.
func TestMaxDuration(t *testing.T) {
	r := newRig(t, nil)
	r.tcp.MaxDuration = time.Minute
	client := r.dial()
	pass(t, client, r.accept())
	r.sweepOnce(r.start.Add(59 * time.Second))
	if r.Active() != 1 {
		t.Fatal("closed before its time")
	}
	r.sweepOnce(r.start.Add(60 * time.Second))
	r.wantLine("DT max_downstream_connection_duration 1 0 c")
}

func pass(t *testing.T, from, to net.Conn) {
	t.Helper()
	if _, err := from.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	if _, err := to.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
}

// TestNoIdleTimeout: 0 means for ever.
func TestNoIdleTimeout(t *testing.T) {
	r := newRig(t, nil)
	pass(t, r.dial(), r.accept())
	if due := r.due(time.Now().Add(1000 * time.Hour)); len(due) != 0 {
		t.Error("a connection without idle timeout is looked at")
	}
}
