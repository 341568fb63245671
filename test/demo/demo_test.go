package main

import (
	"bytes"
	"context"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/pillion-mesh/pillion/test/cluster/binary"
	"github.com/pillion-mesh/pillion/test/cluster/testenv"
)

// TestDemo runs what `make demo` runs, with and without a node, on clusters of its own: it ends without an error only
// if all it shows is true.
func TestDemo(t *testing.T) {
	for _, test := range []struct {
		name    string
		apiOnly bool
		shows   []string
	}{
		{"with a node", false, []string{"kubectl apply -k", "istio-init, istio-proxy, app", "pod's label sidecar.istio.io/inject is \"false\"", "(+20)", "All of this was true"}},
		{"API server only", true, []string{"Left out: running pods", "+    name: istio-proxy", "All of this was true"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			if !test.apiOnly && os.Geteuid() != 0 {
				skip(t, "a node needs root")
			}
			ctx, cancel := context.WithTimeout(context.Background(), 30*time.Minute)
			defer cancel()
			o := options{name: "demo-test", apiOnly: test.apiOnly}
			t.Cleanup(func() {
				o.clean = true
				if err := run(context.Background(), os.Stderr, o); err != nil {
					t.Errorf("removing what the demo left: %v", err)
				}
			})
			var out bytes.Buffer
			err := run(ctx, &out, o)
			var missing *binary.Missing
			if errors.As(err, &missing) {
				skip(t, err.Error())
			}
			if err != nil {
				t.Fatalf("%s\n%v", out.String(), err) // the error last: it is what a shortened log must keep
			}
			for _, want := range test.shows {
				if !strings.Contains(out.String(), want) {
					t.Errorf("the demo doesn't show %q:\n%s", want, out.String())
				}
			}
		})
	}
}

// skip where this machine can't; fail where CI says it must.
func skip(t *testing.T, why string) {
	t.Helper()
	if os.Getenv(testenv.RequireEnv) == "1" {
		t.Fatal(why)
	}
	t.Skipf("skipped: %s (%s=1 makes this a failure)", why, testenv.RequireEnv)
}
