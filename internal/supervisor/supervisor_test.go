package supervisor

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/go-logr/logr"
)

// The test program is its own child: CHILD says which part it plays.
func TestMain(m *testing.M) {
	switch os.Getenv("CHILD") {
	case "":
		os.Exit(m.Run())
	case "serve":
		os.Exit(serve())
	case "die":
		os.Exit(3)
	case "stuck":
		signal.Ignore(syscall.SIGTERM)
		<-Orphaned()
		os.Exit(70)
	}
	os.Exit(64)
}

// serve answers each connection's line with its pid; the line "crash" is its end. It ends on SIGTERM or with the parent.
func serve() int {
	listener, err := net.FileListener(os.NewFile(FDListener, "listener"))
	if err != nil {
		return 1
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	go func() {
		select {
		case <-ctx.Done():
			os.Exit(0)
		case <-Orphaned():
			os.Exit(70)
		}
	}()
	for {
		conn, err := listener.Accept()
		if err != nil {
			return 1
		}
		line, _ := bufio.NewReader(conn).ReadString('\n')
		if strings.TrimSpace(line) == "crash" {
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		}
		fmt.Fprintln(conn, os.Getpid())
		conn.Close()
	}
}

type run struct {
	address string
	starts  atomic.Int32
	deaths  atomic.Pointer[Deaths] // what the latest child was told
	stop    context.CancelFunc
	result  chan error
}

func start(t *testing.T, part string, patience time.Duration) *run {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	r := &run{address: listener.Addr().String(), stop: stop, result: make(chan error, 1)}
	o := Options{
		Listener: listener.(*net.TCPListener), Starts: 5, Window: time.Minute, Patience: patience, Now: time.Now, Log: logr.Discard(),
		Command: func(deaths Deaths) *exec.Cmd {
			r.starts.Add(1)
			r.deaths.Store(&deaths)
			cmd := exec.Command(os.Args[0])
			cmd.Env = append(os.Environ(), "CHILD="+part)
			return cmd
		},
	}
	go func() { r.result <- Run(ctx, o) }()
	t.Cleanup(func() { stop(); listener.Close() })
	return r
}

func (r *run) ask(t *testing.T, line string) (int, error) {
	t.Helper()
	conn, err := net.DialTimeout("tcp", r.address, 5*time.Second)
	if err != nil {
		t.Fatalf("connection refused: the socket must stay open: %v", err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
	fmt.Fprintln(conn, line)
	answer, err := io.ReadAll(conn)
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(strings.TrimSpace(string(answer)))
}

func TestConnectionsWaitForTheNextChild(t *testing.T) {
	r := start(t, "serve", time.Minute)
	first, err := r.ask(t, "hello")
	if err != nil {
		t.Fatal(err)
	}
	if deaths := *r.deaths.Load(); deaths != (Deaths{}) {
		t.Errorf("the first child is told of %+v", deaths)
	}
	if _, err := r.ask(t, "crash"); err == nil {
		t.Fatal("the request that a child died of can't have an answer")
	}
	second, err := r.ask(t, "hello")
	if err != nil || second == first {
		t.Fatalf("after the crash: pid %d, %v; want an answer from another process than %d", second, err, first)
	}
	if deaths := *r.deaths.Load(); deaths != (Deaths{Count: 1, Last: "signal: killed"}) {
		t.Errorf("the second child is told of %+v", deaths)
	}
	r.stop()
	if err := <-r.result; err != nil {
		t.Errorf("Run ended with %v; a child that ends when asked is no error", err)
	}
}

func TestGivesUpWhenChildrenKeepDying(t *testing.T) {
	r := start(t, "die", time.Second)
	if err := <-r.result; !errors.Is(err, ErrTooManyDeaths) || r.starts.Load() != 5 {
		t.Errorf("after %d starts: %v; want ErrTooManyDeaths after 5", r.starts.Load(), err)
	}
	if deaths := *r.deaths.Load(); deaths != (Deaths{Count: 4, Last: "exit status 3"}) {
		t.Errorf("the last child is told of %+v", deaths)
	}
}

func TestStuckChildIsKilledAfterPatience(t *testing.T) {
	r := start(t, "stuck", 50*time.Millisecond)
	for r.starts.Load() == 0 {
		time.Sleep(time.Millisecond)
	}
	r.stop()
	select {
	case err := <-r.result:
		var exit *exec.ExitError
		if !errors.As(err, &exit) {
			t.Errorf("Run ended with %v; want to hear that the child was killed", err)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("Run waits for a child that never ends")
	}
}
