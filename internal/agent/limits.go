package agent

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"strings"
)

// agentMemory is the agent's part of the container's memory limit; the proxy gets the rest.
const agentMemory = 32 << 20

// cgroup reads limits and events of the container, in dir ("/sys/fs/cgroup"), of version 2 and else of version 1.
type cgroup struct{ dir string }

// noLimit is less than what version 1 says where there is none: the largest multiple of the page size.
const noLimit = 1 << 60

// memoryLimit is the container's limit in bytes, 0 if it has none.
func (c cgroup) memoryLimit() int64 {
	for _, name := range []string{"memory.max", "memory/memory.limit_in_bytes"} {
		limit, err := strconv.ParseInt(strings.TrimSpace(c.read(name)), 10, 64) // version 2 may say "max"
		if err == nil && limit > 0 && limit < noLimit {
			return limit
		}
	}
	return 0
}

// oomKills is how often the kernel killed a process of the container for its memory.
func (c cgroup) oomKills() uint64 {
	for line := range strings.Lines(c.read("memory.events") + c.read("memory/memory.oom_control")) {
		if count, found := strings.CutPrefix(line, "oom_kill "); found {
			n, _ := strconv.ParseUint(strings.TrimSpace(count), 10, 64)
			return n
		}
	}
	return 0
}

// read is empty for a file of the other version.
func (c cgroup) read(name string) string {
	text, err := os.ReadFile(filepath.Join(c.dir, name))
	if err != nil {
		return ""
	}
	return string(text)
}

// proxyMemory is Go's soft limit for the proxy: 0.9 of the container's less the agent's part, never less than that
// part. 0 means none.
func proxyMemory(limit int64) int64 {
	if limit <= 0 {
		return 0
	}
	return max(limit/10*9-agentMemory, agentMemory)
}

// limitMemory sets the agent's own soft limit if the container has one.
func limitMemory(limit int64) {
	if limit > 0 {
		debug.SetMemoryLimit(agentMemory)
	}
}

// childEnv is our environment with the proxy's limits for the Go runtime.
func childEnv(environ []string, memory int64, threads int) []string {
	env := make([]string, 0, len(environ)+2)
	for _, pair := range environ {
		if strings.HasPrefix(pair, "GOMEMLIMIT=") && memory > 0 || strings.HasPrefix(pair, "GOMAXPROCS=") && threads > 0 {
			continue
		}
		env = append(env, pair)
	}
	if memory > 0 {
		env = append(env, fmt.Sprintf("GOMEMLIMIT=%d", memory))
	}
	if threads > 0 {
		env = append(env, fmt.Sprintf("GOMAXPROCS=%d", threads))
	}
	return env
}
