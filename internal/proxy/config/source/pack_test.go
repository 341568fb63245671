package source

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/pillion-mesh/pillion/internal/proxy/config/source/dump"
)

// TestPacked: packed resources dump as loose ones do, are known when they come again, and are packed anew when little
// of their block is left.
func TestPacked(t *testing.T) {
	s, ads, _ := toySource(t)
	want := map[string]string{}
	for i := range 1500 {
		name := fmt.Sprintf("c%04d", i)
		want[name] = fmt.Sprint(i, strings.Repeat(" x", 250))
		push(t, ads, clusters, "1", toy(clusters, name, want[name]))
	}
	check := func() {
		t.Helper()
		in := &inflater{}
		for name, words := range want {
			if _, got := wordsOf(in.bytes(s.tables[clusters][name].active.raw)); strings.Join(got, " ") != words {
				t.Fatalf("%s is %q, want %q", name, got, words)
			}
		}
	}
	blocks := func() map[*block]int {
		all := map[*block]int{}
		s.versions(func(_ *entry, v *version) { all[v.raw.block]++ })
		return all
	}
	s.pack()
	check()
	first := blocks()
	if len(first) < 10 || first[nil] != 0 {
		t.Fatalf("%d blocks, %d loose", len(first), first[nil])
	}
	decoded := 0
	s.opts.Decode.Cluster = func(raw []byte, cells xdsCells) (_ *clusterConfig, _ xdsNeeds, _ error) {
		decoded++
		return toyCluster(raw, cells)
	}
	for name, words := range want {
		push(t, ads, clusters, "2", toy(clusters, name, words))
	}
	if decoded != 0 {
		t.Errorf("%d packed resources were decoded again though they hadn't changed", decoded)
	}
	for i := range 1400 { // little is left of most blocks
		name := fmt.Sprintf("c%04d", i)
		want[name] = fmt.Sprint("new", strings.Repeat(" y", 250))
		push(t, ads, clusters, "3", toy(clusters, name, want[name]))
	}
	s.pack()
	check()
	for b := range blocks() {
		if b == nil {
			t.Error("something is loose")
		}
	}
	var out bytes.Buffer
	if err := s.Dump(&out, dump.Query{}); err != nil || strings.Count(out.String(), `"version_info": "3"`) != 1400 {
		t.Errorf("the dump has %d new clusters, %v", strings.Count(out.String(), `"version_info": "3"`), err)
	}
}
