package sidecar

import (
	"os"
	"testing"
)

// asSidecar makes the test binary pillion-sidecar: the tests start real agents, and these real proxies, from it.
const asSidecar = "PILLION_TEST_AS_SIDECAR"

func TestMain(m *testing.M) {
	if os.Getenv(asSidecar) != "" {
		os.Exit(Run(os.Args, Process{Environ: os.Environ(), Stdout: os.Stdout, Stderr: os.Stderr}))
	}
	os.Exit(m.Run())
}
