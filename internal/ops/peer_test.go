package ops

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// asClient makes the test binary a process that connects to the address in it and waits for the end of its stdin.
const asClient = "PILLION_TEST_CONNECT"

func TestMain(m *testing.M) {
	address := os.Getenv(asClient)
	if address == "" {
		os.Exit(m.Run())
	}
	network, to, _ := strings.Cut(address, " ")
	conn, err := net.Dial(network, to)
	if err != nil {
		os.Exit(1)
	}
	_, _ = os.Stdin.Read(make([]byte, 1))
	conn.Close()
	os.Exit(0)
}

// connectAs accepts a connection made by a process of that UID. hangUp ends that process.
func connectAs(t *testing.T, l net.Listener, uid uint32) (conn net.Conn, hangUp func(), pid int) {
	t.Helper()
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = []string{asClient + "=" + l.Addr().Network() + " " + l.Addr().String()}
	if uid != uint32(os.Getuid()) {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid}}
	}
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		skipWithoutRoot(t, err)
	}
	conn, err = l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	ended := false
	hangUp = func() {
		if !ended {
			ended = true
			stdin.Close()
			_ = cmd.Wait()
		}
	}
	t.Cleanup(func() { hangUp(); conn.Close() })
	return conn, hangUp, cmd.Process.Pid
}

func skipWithoutRoot(t *testing.T, err error) {
	t.Helper()
	if os.Getenv("PILLION_REQUIRE_NETNS") != "" || !errors.Is(err, os.ErrPermission) {
		t.Fatal(err)
	}
	t.Skipf("a process of another user can't be started, needs root: %v", err)
}

var lookups = map[string]func(local, remote netip.AddrPort) (Socket, error){
	"sock_diag": diagSocket,
	"/proc/net": func(l, r netip.AddrPort) (Socket, error) { return procSocket("/proc/net", l, r) },
}

// TestPeerUID asks the real kernel about real processes of other users.
func TestPeerUID(t *testing.T) {
	for name, find := range lookups {
		for _, address := range []string{"127.0.0.1:0", "[::1]:0"} {
			t.Run(name+" "+address, func(t *testing.T) {
				l := listen(t, "tcp", address)
				defer l.Close()
				conn, hangUp, pid := connectAs(t, l, 1337)
				kernel := &Kernel{Find: find, Ours: func(uint32) (bool, error) { return false, nil }}
				if uid, err := kernel.TCPUID(conn.(*net.TCPConn)); err != nil || uid != 1337 {
					t.Fatalf("uid %d, %v", uid, err)
				}
				kernel.Ours = func(inode uint32) (bool, error) { return HoldsSocket("/proc", []int{pid}, inode) }
				if _, err := kernel.TCPUID(conn.(*net.TCPConn)); err == nil || !strings.Contains(err.Error(), "through the proxy") {
					t.Errorf("a socket of our own child passes: %v", err)
				}
				hangUp()
				kernel.Ours = func(uint32) (bool, error) { return false, nil }
				if uid, err := kernel.TCPUID(conn.(*net.TCPConn)); err == nil {
					t.Errorf("a closed socket passes as uid %d", uid)
				}
			})
		}
	}
}

func TestPeerIsNotTheApplication(t *testing.T) {
	l := listen(t, "tcp4", "127.0.0.1:0")
	defer l.Close()
	conn, _, _ := connectAs(t, l, 1000)
	kernel := &Kernel{Find: FindSocket, Ours: func(uint32) (bool, error) { return false, nil }}
	if uid, err := kernel.TCPUID(conn.(*net.TCPConn)); err != nil || uid != 1000 {
		t.Errorf("uid %d, %v", uid, err)
	}
}

func TestUnixUID(t *testing.T) {
	dir := t.TempDir()
	if err := errors.Join(os.Chmod(filepath.Dir(dir), 0o755), os.Chmod(dir, 0o777)); err != nil {
		t.Fatal(err)
	}
	l := listen(t, "unix", filepath.Join(dir, "s"))
	defer l.Close()
	if err := os.Chmod(filepath.Join(dir, "s"), 0o777); err != nil {
		t.Fatal(err)
	}
	conn, _, _ := connectAs(t, l, uint32(os.Getuid()))
	if uid, err := (&Kernel{}).UnixUID(conn.(*net.UnixConn)); err != nil || int(uid) != os.Getuid() {
		t.Errorf("uid %d, %v", uid, err)
	}
}

// TestPeerProof: each missing part of the proof refuses.
func TestPeerProof(t *testing.T) {
	l := listen(t, "tcp4", "127.0.0.1:0")
	defer l.Close()
	client, err := net.Dial("tcp4", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	server, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	good := Socket{State: established, UID: 1337, Inode: 5}
	for _, c := range []struct {
		name  string
		found Socket
		find  error
		ours  bool
		held  error
		ok    bool
	}{
		{"proven", good, nil, false, nil, true},
		{"not found", good, os.ErrNotExist, false, nil, false},
		{"closing", Socket{State: 8, UID: 1337, Inode: 5}, nil, false, nil, false},
		{"orphaned", Socket{State: established, UID: 1337}, nil, false, nil, false},
		{"a child's", good, nil, true, nil, false},
		{"children unknown", good, nil, false, os.ErrPermission, false},
	} {
		k := &Kernel{
			Find: func(local, remote netip.AddrPort) (Socket, error) {
				if local != addrOf(client.LocalAddr()) || remote != addrOf(server.LocalAddr()) {
					t.Errorf("asked for %v to %v", local, remote)
				}
				return c.found, c.find
			},
			Ours: func(uint32) (bool, error) { return c.ours, c.held },
		}
		if _, err := k.TCPUID(server.(*net.TCPConn)); (err == nil) != c.ok {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

// FuzzProcLine: a line of /proc/net/tcp never makes it panic.
func FuzzProcLine(f *testing.F) {
	f.Add("   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1337        0 12345 1 0 100 0 0 10 0")
	f.Add("   0: 00000000000000000000000001000000:1F90 00000000000000000000000000000000:0000 01 0:0 0:0 0 0 0 7")
	f.Fuzz(func(t *testing.T, line string) {
		local, remote, _, ok := parseProcLine(line)
		if ok && (!local.IsValid() || !remote.IsValid()) {
			t.Errorf("%q gives %v and %v", line, local, remote)
		}
	})
}

// FuzzDiag: an answer of the kernel never makes it panic.
func FuzzDiag(f *testing.F) {
	f.Add(make([]byte, 16+72))
	f.Add([]byte{20, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 254, 255, 255, 255})
	f.Fuzz(func(_ *testing.T, answer []byte) { _, _ = parseDiag(answer) })
}
