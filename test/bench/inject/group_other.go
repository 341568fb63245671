//go:build !linux

package main

import "syscall"

// ownGroup lets the operator be killed with its child.
func ownGroup() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
