package proxy

import (
	"os"
	"strings"
	"testing"
)

func TestUnchangedPart(t *testing.T) {
	const program = "/usr/local/bin/pillion sidecar"
	for line, want := range map[string][2]uintptr{
		"00400000-00a3b000 r-xp 00000000 fd:00 131 " + program:                  {0x400000, 0xa3b000},
		"00a3b000-0131b000 r--p 0063b000 fd:00 131            " + program:       {0xa3b000, 0x131b000},
		"0131b000-01373000 rw-p 00f1b000 fd:00 131 " + program:                  {},
		"00400000-00a3b000 r-xs 00000000 fd:00 131 " + program:                  {},
		"00400000-00a3b000 r-xp 00000000 fd:00 131 /lib/x.so":                   {},
		"00400000-00a3b000 r-xp 00000000 fd:00 131 /other" + program + " (old)": {},
		"c000000000-c000400000 rw-p 00000000 00:00 0":                           {},
		"7ffc5d7e9000-7ffc5d7eb000 r-xp 00000000 00:00 0 [vdso]":                {},
		"": {}, "x r-xp 0 0 0 " + program: {}, "00a3b000-00400000 r-xp 0 0 0 " + program: {},
	} {
		start, end, ok := unchangedPart(line+"\n", program)
		if ok != (want != [2]uintptr{}) || ok && [2]uintptr{start, end} != want {
			t.Errorf("%q: %x-%x, %v", line, start, end, ok)
		}
	}
}

// TestForgetStart: the program finds its own parts, and goes on after they were given back.
func TestForgetStart(t *testing.T) {
	maps, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		t.Fatal(err)
	}
	program, err := os.Readlink("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	parts := 0
	for line := range strings.Lines(string(maps)) {
		if _, _, ok := unchangedPart(line, program); ok {
			parts++
		}
	}
	if parts < 2 {
		t.Errorf("%d parts: want the code and the constants", parts)
	}
	if err := forgetStart(); err != nil {
		t.Error(err)
	}
}
