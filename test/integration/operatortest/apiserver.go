package operatortest

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/pillion-mesh/pillion/test/cluster/state"
)

// RestartAPIServer kills the cluster's API server, as running out of memory does, and starts it again on the same etcd
// after a while. It returns when it is ready. The cluster has to be the test binary's own, with which the new process
// ends.
func (e *Env) RestartAPIServer(down time.Duration) {
	e.T.Helper()
	components, err := e.Cluster.Dir.Components()
	Must(e.T, err)
	i := slices.IndexFunc(components, func(c state.Component) bool { return c.Name == "kube-apiserver" })
	if i < 0 {
		e.T.Fatalf("no API server among %v", components)
	}
	line, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", components[i].Process.PID))
	if err != nil {
		e.T.Skipf("skipped, another process's command line can't be read: %v", err)
	}
	Must(e.T, syscall.Kill(components[i].Process.PID, syscall.SIGKILL))
	e.Eventually("the API server is gone", func() error { // and so is its hold on the port
		if components[i].Process.Alive() {
			return errors.New("it runs")
		}
		return nil
	})
	time.Sleep(down)
	command := strings.Split(strings.TrimSuffix(string(line), "\x00"), "\x00")
	server := exec.Command(command[0], command[1:]...)
	server.SysProcAttr = ownGroup()
	log, err := os.OpenFile(e.Cluster.Dir.Log("kube-apiserver"), os.O_APPEND|os.O_WRONLY, 0)
	Must(e.T, err)
	defer log.Close()
	server.Stdout, server.Stderr = log, log
	Must(e.T, server.Start())
	go func() { _ = server.Wait() }()
	components[i].Process, err = state.Identify(server.Process.Pid)
	Must(e.T, err)
	Must(e.T, e.Cluster.Dir.WriteComponents(components)) // so that it goes with the cluster
	e.Eventually("the API server is ready", func() error {
		return e.Cluster.Client.Discovery().RESTClient().Get().AbsPath("/readyz").Do(e.Ctx()).Error()
	})
}
