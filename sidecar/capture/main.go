// pillion-capture leads a pod's traffic into its sidecar. It runs internal/cmd/capture and exits with its code.
package main

import (
	"os"

	"github.com/pillion-mesh/pillion/internal/cmd/capture"
)

func main() {
	os.Exit(capture.Run(os.Args[1:], os.Environ(), os.Stdout, os.Stderr))
}
