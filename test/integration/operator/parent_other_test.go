//go:build !linux

package operator

import "syscall"

func parentDeath() *syscall.SysProcAttr { return nil }
