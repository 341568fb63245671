package capture_test

import (
	"flag"
	"os"
	"testing"
)

// beside is how many tests run beside each other. They mostly wait for the kernel, which gives up old rules and
// namespaces at its leisure; each has namespaces of its own.
const beside = "8"

func TestMain(m *testing.M) {
	flag.Parse()
	asked := false
	flag.Visit(func(f *flag.Flag) { asked = asked || f.Name == "test.parallel" })
	if !asked {
		if err := flag.Set("test.parallel", beside); err != nil {
			panic(err)
		}
	}
	os.Exit(m.Run())
}
