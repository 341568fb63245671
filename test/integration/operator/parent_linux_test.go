package operator

import "syscall"

// parentDeath ends replicas with the test binary, whatever ends that.
func parentDeath() *syscall.SysProcAttr { return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }
