package operatortest

import "syscall"

// ownGroup lets a test kill a replica with its child, and ends replicas with the test binary, whatever ends that.
func ownGroup() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
