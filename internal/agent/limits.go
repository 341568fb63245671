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

// cgroup reads limits and events of the container, in dir ("/sys/fs/cgroup").
type cgroup struct{ dir string }

// memoryLimit is the container's limit in bytes, 0 if it has none.
func (c cgroup) memoryLimit() int64 {
	text, err := os.ReadFile(filepath.Join(c.dir, "memory.max"))
	if err != nil {
		return 0
	}
	limit, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
	if err != nil {
		return 0 // "max"
	}
	return limit
}

// oomKills is how often the kernel killed a process of the container for its memory.
func (c cgroup) oomKills() uint64 {
	text, err := os.ReadFile(filepath.Join(c.dir, "memory.events"))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(text)) {
		if count, found := strings.CutPrefix(line, "oom_kill "); found {
			n, _ := strconv.ParseUint(strings.TrimSpace(count), 10, 64)
			return n
		}
	}
	return 0
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
