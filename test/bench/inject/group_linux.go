package main

import "syscall"

// ownGroup lets the operator be killed with its child, and ends it with this process, whatever ends that.
func ownGroup() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
