// pillion-sidecar is the agent, the proxy and their small clients in one binary. It runs internal/cmd/sidecar and exits
// with its code.
package main

import (
	"os"

	"github.com/pillion-mesh/pillion/internal/cmd/sidecar"
)

func main() {
	os.Exit(sidecar.Run(os.Args, sidecar.Process{Environ: os.Environ(), Stdout: os.Stdout, Stderr: os.Stderr, Files: os.DirFS("/")}))
}
