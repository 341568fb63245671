package memory

import (
	"os"
	"slices"
	"strings"
	"testing"
)

const smaps = `00400000-00caa000 r-xp 00000000 fe:01 1234                               /usr/local/bin/pillion-sidecar
Rss:                7464 kB
Anonymous:             0 kB
VmFlags: rd ex mr mw me
00caa000-017c7000 r--p 008aa000 fe:01 1234                               /usr/local/bin/pillion-sidecar
Rss:                8692 kB
Anonymous:             0 kB
VmFlags: rd mr mw me
017c7000-017c9000 r--p 013c7000 fe:01 1234                               /usr/local/bin/pillion-sidecar
Rss:                   8 kB
Anonymous:             4 kB
VmFlags: rd mr mw me
017c9000-0184e000 rw-p 013c9000 fe:01 1234                               /usr/local/bin/pillion-sidecar
Rss:                 412 kB
Anonymous:             0 kB
VmFlags: rd wr mr mw me
283488400000-283488c00000 rw-p 00000000 00:00 0 
Anonymous:             0 kB
7f7f0c000000-7f7f0c100000 r--p 00000000 fe:01 77                         /usr/lib/other
Anonymous:             0 kB
7f7f0c200000-7f7f0c300000 r--p 00000000 fe:01 78                         /old/usr/local/bin/pillion-sidecar
Anonymous:             0 kB
zz-1 r--p 00000000 fe:01 1234                               /usr/local/bin/pillion-sidecar
Anonymous:             0 kB
`

func TestUntouched(t *testing.T) {
	got := untouched(strings.NewReader(smaps), "/usr/local/bin/pillion-sidecar")
	if want := []area{{0x400000, 0xcaa000}, {0xcaa000, 0x17c7000}}; !slices.Equal(got, want) {
		t.Errorf("got %x, want %x", got, want)
	}
}

// TestReleaseHarmsNothing: after it the program and its constants are as they were, and it can be done again.
func TestReleaseHarmsNothing(t *testing.T) {
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		Release()
		if got := untouched(strings.NewReader(smaps), "/usr/lib/other"); len(got) != 1 {
			t.Errorf("got %x", got)
		}
		maps, err := os.Open("/proc/self/smaps")
		if err != nil {
			t.Skip(err)
		}
		if len(untouched(maps, program)) == 0 {
			t.Error("no part of the program is found")
		}
		maps.Close()
	}
}
