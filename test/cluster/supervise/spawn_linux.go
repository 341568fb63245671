package supervise

import (
	"runtime"
	"syscall"
)

// dieWithParent has the kernel end a child when we end, however that comes about.
func dieWithParent() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}

// spawner starts all children from one thread that lives as long as the group: the kernel takes the end of the thread
// that started a child for the parent's death.
func (g *Group) spawner() {
	runtime.LockOSThread()
	for start := range g.spawn {
		start()
	}
}
