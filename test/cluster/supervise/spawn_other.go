//go:build !linux

package supervise

import "syscall"

// Other systems can't tie children to us; `clean` ends them by the recorded pids and start times.
func dieWithParent() *syscall.SysProcAttr { return &syscall.SysProcAttr{} }

func (g *Group) spawner() {
	for start := range g.spawn {
		start()
	}
}
