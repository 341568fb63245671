package sidecar

import (
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/pillion-mesh/pillion/internal/agent/control"
)

// epochs are proxies whose agent is the test.
type epochs struct {
	args    []string
	sockets map[string]*os.File // by the names that proxies know them by
	start   func(*exec.Cmd) error
}

// epochProcess is one of them.
type epochProcess struct {
	*epochs
	t      *testing.T
	n      int
	cmd    *exec.Cmd
	stderr *output
	agent  *control.Conn
	said   chan control.Message // BEATs only if they prove something
	exited chan struct{}
}

// begin starts the proxy of an epoch.
func (e *epochs) begin(t *testing.T, n int) *epochProcess {
	t.Helper()
	agent, theirs, err := control.Pair()
	if err != nil {
		t.Fatal(err)
	}
	defer theirs.Close()
	p := &epochProcess{epochs: e, t: t, n: n, stderr: &output{}, agent: agent, said: make(chan control.Message, 16), exited: make(chan struct{})}
	p.cmd = exec.Command("/proc/self/exe", append([]string{"proxy", "--restart-epoch=" + strconv.Itoa(n), "--control-fd=3"}, e.args...)...)
	p.cmd.Env = []string{asSidecar + "=1", quickExit}
	p.cmd.Stdout, p.cmd.Stderr, p.cmd.ExtraFiles = io.Discard, p.stderr, []*os.File{theirs}
	if err := e.start(p.cmd); err != nil {
		t.Fatal(err)
	}
	go func() { defer close(p.exited); _ = p.cmd.Wait() }()
	go p.listen()
	t.Cleanup(p.kill)
	return p
}

// listen hears what the proxy says. It ends with the conversation.
func (p *epochProcess) listen() {
	defer close(p.said)
	for {
		m, _, err := p.agent.Receive()
		if err != nil {
			return
		}
		if m.Type != control.Beat || len(m.Proofs) > 0 {
			p.said <- m
		}
	}
}

func (p *epochProcess) kill() {
	_ = p.cmd.Process.Kill()
	<-p.exited
	_ = p.agent.Close()
	for range p.said { // let the reader end
	}
	if text := p.stderr.String(); p.t.Failed() || strings.Contains(text, "DATA RACE") {
		p.t.Errorf("stderr of epoch %d:\n%s", p.n, text)
	}
}

// accept is the conversation until it accepts connections.
func (p *epochProcess) accept() {
	p.t.Helper()
	p.expect(control.Hello)
	var names []string
	var fds []int
	for name, file := range p.sockets {
		names, fds = append(names, name), append(fds, int(file.Fd()))
	}
	if err := p.agent.Send(control.Message{Type: control.Sockets, Sockets: names}, fds); err != nil {
		p.t.Fatal(err)
	}
	p.expect(control.Ready)
	p.send(control.Message{Type: control.Accept})
	p.expect(control.Accepting)
}

func (p *epochProcess) send(m control.Message) {
	p.t.Helper()
	if err := p.agent.Send(m, nil); err != nil {
		p.t.Fatal(err)
	}
}

func (p *epochProcess) expect(want control.Type) (m control.Message) {
	p.t.Helper()
	select {
	case m = <-p.said:
		if m.Type != want {
			p.t.Fatalf("epoch %d says %q, want %s", p.n, m.Type, want)
		}
	case <-time.After(patience):
		p.t.Fatalf("epoch %d doesn't say %s", p.n, want)
	}
	return m
}

// ends waits until the process has ended by itself.
func (p *epochProcess) ends() {
	p.t.Helper()
	select {
	case <-p.exited:
	case <-time.After(patience):
		p.t.Fatalf("epoch %d doesn't end", p.n)
	}
	if code := p.cmd.ProcessState.ExitCode(); code != 0 {
		p.t.Fatalf("epoch %d ends with exit code %d", p.n, code)
	}
}
