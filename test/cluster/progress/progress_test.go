package progress

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"
)

func TestStepSaysStartRunningAndEnd(t *testing.T) {
	var out bytes.Buffer
	p := New(&out)
	p.every = time.Millisecond
	err := p.Step("build", func(note func(string)) error {
		note("package 3")
		for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(time.Millisecond) {
			p.mu.Lock()
			seen := strings.Contains(out.String(), "build: 0s, package 3\n")
			p.mu.Unlock()
			if seen {
				return nil
			}
		}
		return errors.New("no line while it ran")
	})
	if err != nil {
		t.Fatal(err)
	}
	if got := out.String(); !strings.HasPrefix(got, "build ...\n") || !strings.HasSuffix(got, "build: done in 0.0s\n") {
		t.Errorf("said %q", got)
	}
}

func TestFailedStep(t *testing.T) {
	var out bytes.Buffer
	why := errors.New("why")
	if err := New(&out).Step("build", func(func(string)) error { return why }); !errors.Is(err, why) {
		t.Errorf("got %v", err)
	}
	if want := "build ...\nbuild: failed after 0.0s\n"; out.String() != want {
		t.Errorf("said %q", out.String())
	}
}
