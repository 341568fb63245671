package sidecar

import (
	"os"
	"testing"

	capturecmd "github.com/pillion-mesh/pillion/internal/cmd/capture"
)

// asSidecar makes the test binary pillion-sidecar: the tests start real agents, and these real proxies, from it.
const asSidecar = "PILLION_TEST_AS_SIDECAR"

// asCapture makes it pillion-capture.
const asCapture = "PILLION_TEST_AS_CAPTURE"

func TestMain(m *testing.M) {
	if os.Getenv(asSidecar) != "" {
		os.Exit(Run(os.Args, Process{Environ: os.Environ(), Stdout: os.Stdout, Stderr: os.Stderr}))
	}
	if os.Getenv(asCapture) != "" {
		os.Exit(capturecmd.Run(os.Args[1:], os.Environ(), os.Stdout, os.Stderr))
	}
	os.Exit(m.Run())
}
