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

// listenInNode makes the socket on a thread that is in the node's network namespace. A socket stays in the namespace it
// was made in, whoever uses it.
func listenInNode(record state.Record) (net.Listener, error) {
	type result struct {
		listener net.Listener
		err      error
	}
	made := make(chan result)
	go func() {
		runtime.LockOSThread() // never unlocked: a thread in another namespace mustn't be used again, so it ends
		listener, err := listenOnThread(record.Init.PID)
		made <- result{listener, err}
	}()
	r := <-made
	return r.listener, r.err
}

func listenOnThread(pid int) (net.Listener, error) {
	namespace, err := os.Open(fmt.Sprintf("/proc/%d/ns/net", pid))
	if err != nil {
		return nil, err
	}
	defer func() { _ = namespace.Close() }()
	if err := unix.Setns(int(namespace.Fd()), unix.CLONE_NEWNET); err != nil {
		return nil, fmt.Errorf("entering the node's network: %w", err)
	}
	return net.Listen("tcp", component.NodeAddress+":0")
}
