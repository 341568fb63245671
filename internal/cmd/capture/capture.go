// Package capture is the command line of pillion-capture, and of `pillion-sidecar capture`: flags and environment in,
// options out, wiring, an exit code. Read Run first.
package capture

import (
	"fmt"
	"io"
)

// Run executes one command line. args excludes the program's name, environ has os.Environ's form. It returns the exit
// code of the process.
func Run(args, environ []string, stdout, stderr io.Writer) int {
	fmt.Fprintln(stderr, "capture: not wired yet")
	return 64
}
