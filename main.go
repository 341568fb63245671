// Command pillion is the operator (`pillion operator`) and the user's tool (everything else).
package main

import (
	"os"

	"github.com/pillion-mesh/pillion/internal/cmd/pillion"
)

func main() { os.Exit(pillion.Main(os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) }
