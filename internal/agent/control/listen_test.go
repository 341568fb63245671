package control

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"golang.org/x/sys/unix"
)

// nobody is a service that is told nothing.
type nobody struct{}

func (nobody) Take(map[string]net.Listener) error { return nil }
func (nobody) Warm() <-chan struct{}              { return nil }
func (nobody) Accept() error                      { return nil }
func (nobody) Drain(time.Duration, bool)          {}
func (nobody) SetMemoryLimit(int64)               {}
func (nobody) Active() int                        { return 0 }

// TestListen: a child asks for sockets, and gets each, or why there is none; when the agent dies nobody waits on.
func TestListen(t *testing.T) {
	agent, file, err := Pair()
	if err != nil {
		t.Fatal(err)
	}
	fd := int(file.Fd())
	conn, err := Open(dup(t, fd))
	file.Close()
	if err != nil {
		t.Fatal(err)
	}
	child := &Child{Conn: conn, Log: logr.Discard()}
	ended := make(chan error, 1)
	go func() { ended <- child.Run(context.Background(), nobody{}) }()
	expect := func(want Type, address string) {
		t.Helper()
		m, _, err := agent.Receive()
		if err != nil || m.Type != want || m.Address != address {
			t.Fatalf("%+v, %v; want %s %s", m, err, want, address)
		}
	}
	expect(Hello, "")
	type result struct {
		socket net.Listener
		err    error
	}
	ask := func(address string) chan result {
		got := make(chan result, 1)
		go func() {
			socket, err := child.Listen(context.Background(), netip.MustParseAddrPort(address))
			got <- result{socket, err}
		}()
		expect(Listen, address)
		return got
	}

	own, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer own.Close()
	socketFile, err := own.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	defer socketFile.Close()
	first, second := ask("127.0.0.1:1"), ask("127.0.0.1:2")
	refusal := Message{Type: Sockets, Address: "127.0.0.1:2", Error: "no room"}
	name := BindName(netip.MustParseAddrPort("127.0.0.1:1"))
	if err := errors.Join(agent.Send(refusal, nil), agent.Send(Message{Type: Sockets, Address: "127.0.0.1:1", Sockets: []string{name}}, []int{int(socketFile.Fd())})); err != nil {
		t.Fatal(err)
	}
	if r := <-second; r.err == nil || r.err.Error() != "the agent has no socket at 127.0.0.1:2: no room" {
		t.Errorf("%v", r.err)
	}
	r := <-first
	if r.err != nil || r.socket.Addr().String() != own.Addr().String() {
		t.Fatalf("%v, %v", r.socket, r.err)
	}
	r.socket.Close()
	child.Release(netip.MustParseAddrPort("127.0.0.1:1"))
	expect(Release, "127.0.0.1:1")

	last := ask("127.0.0.1:3")
	agent.Close()
	if r := <-last; !errors.Is(r.err, errNoAgent) {
		t.Errorf("%v", r.err)
	}
	if err := <-ended; !errors.Is(err, ErrAgentGone) {
		t.Error(err)
	}
	if _, err := child.Listen(context.Background(), netip.MustParseAddrPort("127.0.0.1:4")); err == nil {
		t.Error("a socket of an agent that is gone")
	}
}

func TestListenGivesUp(t *testing.T) {
	agent, file, err := Pair()
	if err != nil {
		t.Fatal(err)
	}
	defer agent.Close()
	conn, err := Open(dup(t, int(file.Fd())))
	file.Close()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	child := &Child{Conn: conn, Log: logr.Discard()}
	ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
	defer cancel()
	if _, err := child.Listen(ctx, netip.MustParseAddrPort("127.0.0.1:1")); !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
	child.asked.end()
}

func TestBindName(t *testing.T) {
	for name, want := range map[string]bool{"bind/127.0.0.1:80": true, "bind/[::1]:80": true, "bind/x": false, "15001/tcp4": false} {
		address, is := AddressOf(name)
		if is != want || is && BindName(address) != name {
			t.Errorf("%s: %v %v", name, address, is)
		}
	}
}

func dup(t *testing.T, fd int) int {
	t.Helper()
	n, err := unix.Dup(fd)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// TestProve: nonces are told with the next BEAT, which comes at once.
func TestProve(t *testing.T) {
	child := &Child{Log: logr.Discard()}
	for range maxProofs + 3 {
		child.Prove([]byte("nonce"), netip.MustParseAddrPort("10.0.0.1:15002"))
	}
	select {
	case <-child.proofs.came():
	default:
		t.Error("no BEAT is due")
	}
	if got := child.proofs.take(); len(got) != maxProofs || string(got[0].Nonce) != "nonce" || len(child.proofs.take()) != 0 {
		t.Errorf("%+v", got)
	}
	packet, err := Encode(Message{Type: Beat, Proofs: []Proof{{[]byte{1}, netip.MustParseAddrPort("[::1]:2")}}})
	if err != nil {
		t.Fatal(err)
	}
	if m, err := Decode(packet); err != nil || m.Proofs[0].Destination.Port() != 2 {
		t.Errorf("%+v, %v", m, err)
	}
}
