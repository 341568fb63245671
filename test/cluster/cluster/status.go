package cluster

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"github.com/pillion-mesh/pillion/test/cluster/state"
	"github.com/pillion-mesh/pillion/test/cluster/supervise"
)

// Status is what `status` shows.
type Status struct {
	Name       string            `json:"name"`
	Running    bool              `json:"running"`
	Server     string            `json:"server,omitempty"`
	Folder     string            `json:"folder"`
	FreeMB     uint64            `json:"freeMB"`
	Components []ComponentStatus `json:"components"`
}

// ComponentStatus is one process. The pid is the one outside the node.
type ComponentStatus struct {
	Name       string `json:"name"`
	PID        int    `json:"pid"` // 0: not running
	AgeSeconds int    `json:"ageSeconds"`
	MemoryMB   int    `json:"memoryMB"` // resident; where /proc tells
	LastLine   string `json:"lastLine"`
}

// HarmlessLines are log messages of components that come up in every run and mean nothing here.
func HarmlessLines() []string {
	return []string{
		"kubelet: eviction manager: failed to get … filesystem information (its own statistics are off)",
		"kubelet: RuntimeConfig … unimplemented (containerd 1.6 doesn't know the call)",
		"containerd, kubelet: setting rlimit or oom_score_adj: not permitted (without CAP_SYS_RESOURCE)",
		"kube-proxy: no IPv6 tables or addresses (without --dual-stack)",
	}
}

// Inspect looks at the cluster called name, running or not.
func Inspect(name string) (Status, error) {
	dir, err := state.For(name)
	if err != nil {
		return Status{}, err
	}
	s := Status{Name: name, Folder: string(dir)}
	record, err := dir.Read()
	if errors.Is(err, fs.ErrNotExist) {
		return s, nil
	}
	if err != nil {
		return s, err
	}
	s.Running, s.Server = record.Ready && record.Init.Alive(), record.Server
	var disk unix.Statfs_t
	if err := unix.Statfs(string(dir), &disk); err == nil {
		s.FreeMB = disk.Bavail * uint64(disk.Bsize) >> 20
	}
	components, err := dir.Components()
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return s, err
	}
	age := int(time.Since(record.Started).Seconds())
	for _, c := range append([]state.Component{{Name: "init", Process: record.Init}}, components...) {
		s.Components = append(s.Components, inspectComponent(dir, record, c, age))
	}
	return s, nil
}

func inspectComponent(dir state.Dir, record state.Record, c state.Component, age int) ComponentStatus {
	s := ComponentStatus{Name: c.Name, LastLine: supervise.LastLines(dir.Log(c.Name), 1)}
	pid := c.Process.PID
	if !record.APIOnly && c.Name != "init" {
		pid = outsidePID(record, pid)
	} else if !c.Process.Alive() {
		pid = 0
	}
	if pid > 0 {
		s.PID, s.AgeSeconds, s.MemoryMB = pid, age, residentMB(pid)
	}
	return s
}

// residentMB reads VmRSS of /proc/PID/status.
func residentMB(pid int) int {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0
	}
	for line := range bytes.Lines(data) {
		if value, ok := bytes.CutPrefix(line, []byte("VmRSS:")); ok {
			kilobytes, _ := strconv.Atoi(string(bytes.Fields(value)[0]))
			return kilobytes / 1024
		}
	}
	return 0
}
