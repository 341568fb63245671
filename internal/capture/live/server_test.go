package live_test

import (
	"bufio"
	"context"
	"errors"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pillion-mesh/pillion/internal/capture/live"
	"github.com/pillion-mesh/pillion/internal/capture/plan"
)

func serve(t *testing.T, k *kernel) (path string, l *live.Live) {
	t.Helper()
	path, l = filepath.Join(t.TempDir(), "capture.sock"), live.New(k, k.now)
	listener, err := live.Listen(path)
	must(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- l.Serve(ctx, listener) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return path, l
}

func dial(t *testing.T, path string) *live.Client {
	t.Helper()
	client, err := live.Dial(path, 5*time.Second)
	must(t, err)
	t.Cleanup(func() { client.Close() })
	return client
}

func TestSocket(t *testing.T) {
	k := newKernel()
	path, l := serve(t, k)
	client := dial(t, path)
	service := plan.Element{Addr: vip(7).Addr, Port: 8080}
	must(t, client.Add(plan.SetIn4, 0, service))
	must(t, client.Add(plan.SetVIP4, time.Minute, vip(1), vip(2)))
	if !k.sets[plan.SetIn4][service] || !k.sets[plan.SetVIP4][vip(2)] {
		t.Errorf("the sets hold %v", k.sets)
	}
	must(t, client.Remove(plan.SetIn4, service))
	k.clock = k.clock.Add(time.Minute)
	if removed, err := l.Sweep(); removed != 3 || err != nil {
		t.Errorf("removed %d, %v", removed, err)
	}
	var refused *live.Refused
	k.fails = errors.New("no such set")
	if err := client.Add(plan.SetVIP4, 0, vip(1)); !errors.As(err, &refused) || !strings.Contains(err.Error(), "no such set") {
		t.Errorf("got %v", err)
	}
	k.fails = nil
	must(t, client.Add(plan.SetVIP4, 0, vip(1))) // the connection outlives a refusal
}

func TestSocketRefusals(t *testing.T) {
	path, _ := serve(t, newKernel())
	for line, want := range map[string]string{
		`{"op":"add","set":"nat_out","elements":["1.2.3.4"]}`:          `set \"nat_out\": want one of`,
		`{"op":"add","set":"vip4","elements":[]}`:                      `0 elements: want 1 to 4096`,
		`{"op":"add","set":"vip4","elements":["fd00::1"]}`:             `\"fd00::1\" is of the other IP family`,
		`{"op":"add","set":"in4","elements":["1.2.3.4"]}`:              `is no address and port`,
		`{"op":"add","set":"armed","elements":["icmp"]}`:               `want tcp or udp`,
		`{"op":"add","set":"vip4","elements":["1.2.3.4"],"ttl":"-5s"}`: `ttl: want a duration`,
		`{"op":"flush","set":"vip4","elements":["1.2.3.4"]}`:           `op \"flush\": want add or remove`,
		`nonsense`: `invalid character`,
	} {
		conn, err := new(net.Dialer).DialContext(context.Background(), "unix", path)
		must(t, err)
		_, err = conn.Write([]byte(line + "\n"))
		must(t, err)
		answer, err := bufio.NewReader(conn).ReadString('\n')
		if err != nil || !strings.Contains(answer, want) {
			t.Errorf("%s: got %s, %v; want %s", line, answer, err, want)
		}
		conn.Close()
	}
}

// Whoever dials too often is turned away; a line without end ends its connection; others go on.
func TestSocketBounds(t *testing.T) {
	path, _ := serve(t, newKernel())
	endless, err := new(net.Dialer).DialContext(context.Background(), "unix", path)
	must(t, err)
	defer endless.Close()
	go func() { _, _ = endless.Write([]byte(strings.Repeat("x", 1<<20))) }()
	if _, err := bufio.NewReader(endless).ReadString('\n'); err == nil {
		t.Error("a line of 1 MiB was answered")
	}
	var clients []*live.Client
	refused := 0
	for range 20 {
		client := dial(t, path)
		clients = append(clients, client)
		if client.Add(plan.SetVIP4, 0, vip(1)) != nil {
			refused++
		}
	}
	if refused != 4 {
		t.Errorf("%d of 20 connections were refused, want 4", refused)
	}
	must(t, clients[0].Add(plan.SetVIP4, 0, vip(1)))
}

func TestManyClientsAtOnce(t *testing.T) {
	k := newKernel()
	path, l := serve(t, k)
	var running sync.WaitGroup
	for c := range 8 {
		client := dial(t, path)
		running.Go(func() {
			for n := range 200 {
				if err := client.Add(plan.SetVIP4, 0, vip(c*200+n)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	running.Go(func() {
		for range 50 {
			if _, err := l.Sweep(); err != nil {
				t.Error(err)
			}
		}
	})
	running.Wait()
	if n := len(k.sets[plan.SetVIP4]); n != 1600 {
		t.Errorf("%d elements, want 1600", n)
	}
}

func TestListenReplacesADeadSocketOnly(t *testing.T) {
	path := filepath.Join(t.TempDir(), "capture.sock")
	for range 2 {
		listener, err := live.Listen(path)
		must(t, err)
		listener.SetUnlinkOnClose(false)
		listener.Close()
	}
	if _, err := live.Listen(filepath.Join(path, "below")); err == nil {
		t.Error("listened below a socket")
	}
}
