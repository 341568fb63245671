// Command app is the application of the project's tests and demo: it serves and calls HTTP, echoes TCP, sleeps, exits.
// Its HTTP server says who called, so that a test sees through which hands a request went. It links the standard
// library only. In: a subcommand. Out: JSON lines. Start here; http.go and tcp.go have a server and a client each,
// health.go a server for probes.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strconv"
	"syscall"
)

const usage = `usage: app COMMAND
  serve [ADDRESS]          HTTP server (default :8080): answers {"pod","remote","path",...}
  health [HTTP [HTTPS [TCP]]]
                           servers for probes (default :8080 :8443 :9001), gRPC's too; GET /asked says who asked
  get URL...               HTTP client: prints each answer; fails if one isn't 200
  probe INTERVAL URL       HTTP client that goes on until SIGTERM and then prints {"ok","failed"}
  echo [ADDRESS]           TCP server (default :9000): sends back what comes
  send ADDRESS TEXT        TCP client of echo: prints what came back
  sleep                    waits for SIGTERM
  exit CODE                exits
`

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

var errUsage = errors.New("usage")

// run returns the exit code: 0, 1 for a failure, 64 for wrong usage, or what `exit` was given.
func run(ctx context.Context, args []string, out, failures io.Writer) int {
	if len(args) == 2 && args[0] == "exit" {
		if code, err := strconv.Atoi(args[1]); err == nil {
			return code
		}
	}
	err := command(ctx, args, out)
	switch {
	case err == nil:
		return 0
	case errors.Is(err, errUsage):
		_, _ = io.WriteString(failures, usage)
		return 64
	}
	_, _ = fmt.Fprintln(failures, "app:", err)
	return 1
}

func command(ctx context.Context, args []string, out io.Writer) error {
	if len(args) == 0 {
		return errUsage
	}
	name, rest := args[0], args[1:]
	switch {
	case name == "serve" && len(rest) <= 1:
		return serve(ctx, address(rest, ":8080"), out)
	case name == "health" && len(rest) <= 3:
		return serveHealth(ctx, rest, out)
	case name == "get" && len(rest) > 0:
		return getAll(ctx, rest, out)
	case name == "probe" && len(rest) == 2:
		return probe(ctx, rest[0], rest[1], out)
	case name == "echo" && len(rest) <= 1:
		return echo(ctx, address(rest, ":9000"), out)
	case name == "send" && len(rest) == 2:
		return send(ctx, rest[0], rest[1], out)
	case name == "sleep" && len(rest) == 0:
		<-ctx.Done()
		return nil
	}
	return errUsage
}

func address(args []string, otherwise string) string {
	if len(args) == 1 {
		return args[0]
	}
	return otherwise
}
