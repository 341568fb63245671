//go:build linux

package main

import (
	"context"
	"fmt"
)

// roleEnv says what this program is when it starts itself.
const roleEnv = "PILLION_BENCH_ROLE"

// Roles. Clients print what they counted; all end with an error if anything they asked for failed.
const (
	roleBackend      = "backend"
	roleReverseProxy = "reverseproxy"
	roleConnect      = "connect"
	roleBulk         = "bulk"
	roleGRPC         = "grpc"
	roleIdle         = "idle"
)

func runRole(ctx context.Context, role string, args []string) error {
	run := map[string]func(context.Context, []string) error{
		roleBackend: runBackend, roleReverseProxy: runReverseProxy, roleConnect: runConnect, roleBulk: runBulk,
		roleGRPC: runGRPC, roleIdle: runIdle,
	}[role]
	if run == nil {
		return fmt.Errorf("role %q is unknown", role)
	}
	return run(ctx, args)
}
