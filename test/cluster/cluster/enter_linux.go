package cluster

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/pillion-mesh/pillion/test/cluster/component"
	"github.com/pillion-mesh/pillion/test/cluster/state"
)

// containerPID is a process of the container, as this pid namespace numbers it; 0 if there is none.
func containerPID(id string) int {
	processes, _ := filepath.Glob("/proc/[0-9]*/cgroup")
	for _, path := range processes {
		data, err := os.ReadFile(path)
		if err == nil && strings.Contains(string(data), "/"+id) {
			pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(path)))
			return pid
		}
	}
	return 0
}

// listenInNode makes the socket on a thread that is in the node's network namespace for that moment. A socket stays in
// the namespace it was made in, whoever uses it.
func listenInNode(record state.Record) (net.Listener, error) {
	type result struct {
		listener net.Listener
		err      error
	}
	made := make(chan result)
	go func() {
		runtime.LockOSThread()
		listener, back, err := listenOnThread(record.Init.PID)
		if back {
			// Else it stays locked and ends with this goroutine. That alone wouldn't do: the main thread can't end, and
			// it'd keep the namespace, and this process in it.
			runtime.UnlockOSThread()
		}
		made <- result{listener, err}
	}()
	r := <-made
	return r.listener, r.err
}

// listenOnThread says whether the thread is back in its own namespace.
func listenOnThread(pid int) (listener net.Listener, back bool, err error) {
	own, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		return nil, true, err
	}
	defer func() { _ = own.Close() }()
	nodes, err := os.Open(fmt.Sprintf("/proc/%d/ns/net", pid))
	if err != nil {
		return nil, true, err
	}
	defer func() { _ = nodes.Close() }()
	if err := unix.Setns(int(nodes.Fd()), unix.CLONE_NEWNET); err != nil {
		return nil, true, fmt.Errorf("entering the node's network: %w", err)
	}
	listener, err = net.Listen("tcp", component.NodeAddress+":0")
	return listener, unix.Setns(int(own.Fd()), unix.CLONE_NEWNET) == nil, err
}
