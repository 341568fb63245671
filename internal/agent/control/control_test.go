package control

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"golang.org/x/sys/unix"
)

func TestDecode(t *testing.T) {
	for _, c := range []struct{ name, packet, wrong string }{
		{"good", `{"type":"BEAT","active":3}`, ""},
		{"unknown field", `{"type":"BEAT","colour":"red"}`, ""},
		{"unknown type", `{"type":"SING"}`, ""},
		{"no type", `{}`, "no type"},
		{"no JSON", `BEAT`, "reading a control message"},
		{"number out of range", `{"type":"BEAT","active":99999999999999999999}`, "reading a control message"},
		{"below zero", `{"type":"BEAT","active":-1}`, "below zero"},
		{"socket twice", `{"type":"SOCKETS","sockets":["a","a"]}`, "there twice"},
		{"socket without name", `{"type":"SOCKETS","sockets":[" "]}`, "is empty"},
		{"too many sockets", `{"type":"SOCKETS","sockets":["` + strings.Repeat(`a","`, MaxSockets) + `b"]}`, "more than 64"},
		{"too long", `{"type":"` + strings.Repeat("A", MaxBytes) + `"}`, "longer than"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := Decode([]byte(c.packet))
			if (err == nil) != (c.wrong == "") || (err != nil && !strings.Contains(err.Error(), c.wrong)) {
				t.Errorf("error %v, want one with %q", err, c.wrong)
			}
		})
	}
}

// FuzzDecode: whatever comes, Decode doesn't panic, and what it accepts survives a round trip.
func FuzzDecode(f *testing.F) {
	f.Add([]byte(`{"type":"HELLO","epoch":1,"pid":2,"version":"x"}`))
	f.Add([]byte(`{"type":"SOCKETS","sockets":["15001/tcp4","15006/tcp4"]}`))
	f.Add([]byte(`{"type":"DRAIN","deadline_ms":1000,"inbound_only":true}`))
	f.Fuzz(func(t *testing.T, packet []byte) {
		m, err := Decode(packet)
		if err != nil {
			return
		}
		again, err := Encode(m)
		if err != nil {
			if len(packet) > MaxBytes/8 { // escapes may make it longer
				return
			}
			t.Fatalf("encoding what was decoded: %v", err)
		}
		if _, err := Decode(again); err != nil {
			t.Fatalf("decoding it again: %v", err)
		}
	})
}

// ends returns both ends of a conversation.
func ends(t *testing.T) (agent, child *Conn) {
	t.Helper()
	agent, file, err := Pair()
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	fd, err := unix.FcntlInt(file.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	if child, err = Open(fd); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { agent.Close(); child.Close() })
	return agent, child
}

// drained is what a child was told with DRAIN.
type drained struct {
	deadline    time.Duration
	inboundOnly bool
}

// fakeService is a child that remembers what it was told.
type fakeService struct {
	sockets  map[string]net.Listener
	warm     chan struct{}
	accepted chan map[string]net.Listener
	drained  chan drained
	memory   chan int64
	active   int
	fails    error
}

func newFakeService() *fakeService {
	warm := make(chan struct{})
	close(warm)
	return &fakeService{warm: warm, accepted: make(chan map[string]net.Listener, 2), drained: make(chan drained, 2), memory: make(chan int64, 2)}
}

func (s *fakeService) Take(sockets map[string]net.Listener) error {
	s.sockets = sockets
	return nil
}

func (s *fakeService) Warm() <-chan struct{} { return s.warm }

func (s *fakeService) Accept() error {
	s.accepted <- s.sockets
	return s.fails
}
func (s *fakeService) Drain(deadline time.Duration, inboundOnly bool) {
	s.drained <- drained{deadline, inboundOnly}
}
func (s *fakeService) SetMemoryLimit(n int64) { s.memory <- n }
func (s *fakeService) Active() int            { return s.active }

// startChild runs a child and returns what its Run returns.
func startChild(t *testing.T, conn *Conn, service Service) <-chan error {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	result := make(chan error, 1)
	child := &Child{Conn: conn, Epoch: 7, Version: "test", Log: logr.Discard()}
	go func() { result <- child.Run(ctx, service) }()
	return result
}

func expect(t *testing.T, conn *Conn, want Type) Message {
	t.Helper()
	_ = conn.unix.SetReadDeadline(time.Now().Add(10 * time.Second))
	m, _, err := conn.Receive()
	if err != nil || m.Type != want {
		t.Fatalf("received %v, %v, want %s", m, err, want)
	}
	return m
}

func listening(t *testing.T) (net.Listener, int) {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	file, err := l.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close(); file.Close() })
	return l, int(file.Fd())
}

func send(t *testing.T, conn *Conn, m Message, fds ...int) {
	t.Helper()
	if err := conn.Send(m, fds); err != nil {
		t.Fatal(err)
	}
}

func TestConversation(t *testing.T) {
	agent, conn := ends(t)
	service := newFakeService()
	service.active = 5
	result := startChild(t, conn, service)
	if m := expect(t, agent, Hello); m.Epoch != 7 || m.Version != "test" || m.PID == 0 {
		t.Errorf("HELLO says %+v", m)
	}
	l, fd := listening(t)
	send(t, agent, Message{Type: Sockets, Sockets: []string{"15001/tcp4"}}, fd)
	expect(t, agent, Ready)
	send(t, agent, Message{Type: "SING"})
	send(t, agent, Message{Type: Set, MemoryLimit: 1 << 20})
	send(t, agent, Message{Type: Accept})
	expect(t, agent, Accepting)
	got := <-service.accepted
	if got["15001/tcp4"] == nil || got["15001/tcp4"].Addr().String() != l.Addr().String() {
		t.Errorf("the child got %v", got)
	}
	got["15001/tcp4"].Close()
	if n := <-service.memory; n != 1<<20 {
		t.Errorf("memory limit %d", n)
	}
	if m := expect(t, agent, Beat); m.Active != 5 || m.Draining {
		t.Errorf("BEAT says %+v", m)
	}
	send(t, agent, Message{Type: Drain, DeadlineMillis: 3000, InboundOnly: true})
	if got := <-service.drained; got != (drained{3 * time.Second, true}) {
		t.Errorf("told to drain %+v", got)
	}
	if m := expect(t, agent, Beat); !m.Draining {
		t.Errorf("BEAT after DRAIN says %+v", m)
	}
	agent.Close()
	if err := <-result; !errors.Is(err, ErrAgentGone) {
		t.Errorf("after the agent's death Run returned %v", err)
	}
}

// TestAgentMisbehaves: an agent that is out of order is one that a child can't serve.
func TestAgentMisbehaves(t *testing.T) {
	_, fd := listening(t)
	file := make([]int, 2)
	if err := unix.Pipe2(file, unix.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeAll(file) })
	sockets := func(fd int) func(*testing.T, *Conn) {
		return func(t *testing.T, c *Conn) { send(t, c, Message{Type: Sockets, Sockets: []string{"a"}}, fd) }
	}
	accept := func(t *testing.T, c *Conn) { send(t, c, Message{Type: Accept}) }
	for _, c := range []struct {
		name  string
		says  []func(*testing.T, *Conn)
		wrong string
	}{
		{"accept first", []func(*testing.T, *Conn){accept}, "ACCEPT before SOCKETS"},
		{"sockets twice", []func(*testing.T, *Conn){sockets(fd), sockets(fd)}, "SOCKETS twice"},
		{"accept twice", []func(*testing.T, *Conn){sockets(fd), accept, accept}, "ACCEPT twice"},
		{"no socket", []func(*testing.T, *Conn){sockets(file[0])}, `socket "a"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			agent, conn := ends(t)
			result := startChild(t, conn, newFakeService())
			for _, say := range c.says {
				say(t, agent)
			}
			if err := <-result; err == nil || !strings.Contains(err.Error(), c.wrong) {
				t.Errorf("Run returned %v, want %q", err, c.wrong)
			}
		})
	}
}

func TestServiceFails(t *testing.T) {
	agent, conn := ends(t)
	service := newFakeService()
	service.fails = errors.New("no")
	result := startChild(t, conn, service)
	_, fd := listening(t)
	send(t, agent, Message{Type: Sockets, Sockets: []string{"a"}}, fd)
	send(t, agent, Message{Type: Accept})
	if err := <-result; !errors.Is(err, service.fails) {
		t.Errorf("Run returned %v", err)
	}
}

// TestBadPackets: the conversation survives what is no message, and no descriptor that came with it stays open.
func TestBadPackets(t *testing.T) {
	agent, child := ends(t)
	_, fd := listening(t)
	before := openFDs(t)
	for _, packet := range []string{"nonsense", `{"type":"BEAT"}`, strings.Repeat("x", MaxBytes+100)} {
		if _, _, err := agent.unix.WriteMsgUnix([]byte(packet), unix.UnixRights(fd, fd), nil); err != nil {
			t.Fatal(err)
		}
		var bad *MessageError
		if _, _, err := child.Receive(); !errors.As(err, &bad) {
			t.Errorf("%.20s: %v, want a MessageError", packet, err)
		}
	}
	if after := openFDs(t); after != before {
		t.Errorf("%d descriptors are open, %d were", after, before)
	}
	send(t, agent, Message{Type: Accept})
	expect(t, child, Accept)
	agent.Close()
	if _, _, err := child.Receive(); !errors.Is(err, io.EOF) {
		t.Errorf("at the end Receive returned %v", err)
	}
}

func openFDs(t *testing.T) int {
	t.Helper()
	n := 0
	for fd := range 1024 {
		if _, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err == nil {
			n++
		}
	}
	return n
}

func TestSendChecks(t *testing.T) {
	agent, _ := ends(t)
	if err := agent.Send(Message{Type: Sockets, Sockets: []string{"a"}}, nil); err == nil {
		t.Error("a name without a descriptor was sent")
	}
	if _, err := Open(9999); err == nil {
		t.Error("a descriptor that isn't open is a control socket")
	}
}
