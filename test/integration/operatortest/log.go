package operatortest

import (
	"bytes"
	"slices"
	"strings"
	"sync"
)

// Log is what a replica wrote.
type Log struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *Log) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

// Tail is its last lines.
func (l *Log) Tail(lines int) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	all := strings.Split(strings.TrimSpace(l.text.String()), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}

// Has says whether it has a text anywhere.
func (l *Log) Has(text string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Contains(l.text.String(), text)
}

// Without are the lines that don't have a text, which would bury them; the last ones of them.
func (l *Log) Without(text string, lines int) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	all := slices.DeleteFunc(strings.Split(strings.TrimSpace(l.text.String()), "\n"), func(line string) bool { return strings.Contains(line, text) })
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}
