package supervise

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"time"
)

const poll = 25 * time.Millisecond

// Exit is the error of a wait during which a component ended.
type Exit struct {
	Name, How, Log, Last string
}

func (e *Exit) Error() string {
	return fmt.Sprintf("%s %s; its last lines (%s):\n%s", e.Name, e.How, e.Log, e.Last)
}

// Wait polls check until it's nil. note gets what is waited for and the last log line of component. The wait ends
// early with an *Exit if any component of the group exits.
func (g *Group) Wait(ctx context.Context, what string, component *Process, note func(string), check func(context.Context) error) error {
	tick := time.NewTicker(poll)
	defer tick.Stop()
	for i := 0; ; i++ {
		err := check(ctx)
		if err == nil {
			return nil
		}
		if exit := g.firstExit(); exit != nil {
			return exit
		}
		if i%40 == 0 {
			note(fmt.Sprintf("waiting for %s (%v); %s says: %s", what, err, component.Name, LastLines(component.Log, 1)))
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting for %s: %w; last answer: %w; last lines of %s (%s):\n%s", what, context.Cause(ctx), err,
				component.Name, component.Log, LastLines(component.Log, 20))
		case <-tick.C:
		}
	}
}

func (g *Group) firstExit() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, p := range g.order {
		select {
		case <-p.exited:
			return &Exit{Name: p.Name, How: describe(p.status), Log: p.Log, Last: LastLines(p.Log, 20)}
		default:
		}
	}
	return nil
}

// LastLines returns up to n last lines of a file, from its last 16 KiB.
func LastLines(path string, n int) string {
	file, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer func() { _ = file.Close() }()
	if size, err := file.Seek(0, io.SeekEnd); err == nil {
		_, _ = file.Seek(max(0, size-16<<10), io.SeekStart)
	}
	data, err := io.ReadAll(file)
	if err != nil {
		return ""
	}
	lines := strings.Split(string(bytes.TrimSpace(data)), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}
