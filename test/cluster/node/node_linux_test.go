package node

import (
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestRelayCarriesBothWaysAndPassesTheEndOn(t *testing.T) {
	server := listener(t)
	go func() { // answers when the client has ended its half
		connection, err := server.Accept()
		if err != nil {
			return
		}
		defer func() { _ = connection.Close() }()
		said, _ := io.ReadAll(connection)
		_, _ = connection.Write([]byte("heard " + string(said)))
	}()
	outside := listener(t)
	go Relay(outside, func() (net.Conn, error) { return net.Dial("tcp", server.Addr().String()) })
	connection, err := net.Dial("tcp", outside.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = connection.Close() }()
	if err := connection.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := connection.Write([]byte("hello")); err != nil {
		t.Fatal(err)
	}
	if err := connection.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(connection); err != nil || string(got) != "heard hello" {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestRelayClosesWhatItCantLead(t *testing.T) {
	outside := listener(t)
	go Relay(outside, func() (net.Conn, error) { return nil, errors.New("nobody there") })
	connection, err := net.Dial("tcp", outside.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = connection.Close() }()
	if err := connection.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := connection.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("not closed: %v", err)
	}
}

func listener(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

// Only what containerd's own folder names is looked for: other containers of this machine have ids too.
func TestContainerIDs(t *testing.T) {
	root := t.TempDir()
	container, sandbox := strings.Repeat("a1", 32), strings.Repeat("b2", 32)
	for _, folder := range []string{
		"io.containerd.runtime.v2.task/k8s.io/" + container, "io.containerd.grpc.v1.cri/sandboxes/" + sandbox,
		"io.containerd.grpc.v1.cri/sandboxes/short", "io.containerd.content.v1.content/blobs/" + strings.Repeat("c3", 32),
	} {
		if err := os.MkdirAll(filepath.Join(root, folder), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	got := containerIDs(root)
	slices.Sort(got)
	if !slices.Equal(got, []string{container, sandbox}) {
		t.Errorf("found %q", got)
	}
}

func TestRemoveEmptyLeavesWhatIsInUse(t *testing.T) {
	folder := t.TempDir()
	used := filepath.Join(folder, "used")
	if err := os.MkdirAll(filepath.Join(used, "below"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := removeEmpty(used); err != nil {
		t.Errorf("in use: %v", err)
	}
	if _, err := os.Stat(used); err != nil {
		t.Error("a folder in use was removed")
	}
	for range 2 { // the second time there is nothing
		if err := removeEmpty(filepath.Join(used, "below")); err != nil {
			t.Error(err)
		}
	}
	if err := removeEmpty(used); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(used); !errors.Is(err, os.ErrNotExist) {
		t.Error("an empty folder wasn't removed")
	}
}
