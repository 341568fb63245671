package stream

import (
	"slices"
	"testing"
	"time"
)

func fieldsOf(pairs ...string) (f Fields) {
	for i := 0; i < len(pairs); i += 2 {
		f.Add(pairs[i], pairs[i+1])
	}
	return f
}

func TestFields(t *testing.T) {
	start := []string{"a", "1", "b", "2", "a", "3", "c", "4"}
	for name, c := range map[string]struct {
		do   func(*Fields)
		want []string
	}{
		"set replaces all":      {func(f *Fields) { f.Set("a", "x") }, []string{"a", "x", "b", "2", "c", "4"}},
		"set adds":              {func(f *Fields) { f.Set("d", "x") }, append(slices.Clone(start), "d", "x")},
		"remove takes all":      {func(f *Fields) { f.Remove("a") }, []string{"b", "2", "c", "4"}},
		"remove of none":        {func(f *Fields) { f.Remove("d") }, start},
		"clear, then add again": {func(f *Fields) { f.Clear(); f.Add("d", "5") }, []string{"d", "5"}},
	} {
		t.Run(name, func(t *testing.T) {
			f := fieldsOf(start...)
			c.do(&f)
			if want := fieldsOf(c.want...); !slices.Equal(f.list, want.list) {
				t.Errorf("got %v, want %v", f.list, want.list)
			}
		})
	}
}

func TestJoined(t *testing.T) {
	f := fieldsOf("a", "1", "b", "", "a", "2")
	for name, want := range map[string]string{"a": "1,2", "b": ""} {
		if got, there := f.Joined(name); got != want || !there {
			t.Errorf("%s: %q, %v", name, got, there)
		}
	}
	if got, there := f.Joined("c"); got != "" || there {
		t.Errorf("c: %q, %v", got, there)
	}
	if n := testing.AllocsPerRun(10, func() { f.Joined("b") }); n != 0 {
		t.Errorf("one value costs %v allocations", n)
	}
}

func TestResetKeepsMemoryAndNothingElse(t *testing.T) {
	x := &Exchange{}
	conn := &Conn{}
	for range 2 {
		x.Request.Fields.Add("a", "1")
		x.Response.Fields.Add("b", "2")
		x.Details, x.Flags = "via_upstream", 1
		x.Reset(conn, time.Unix(1, 0))
	}
	if x.Request.Fields.Len()+x.Response.Fields.Len() != 0 || x.Details != "" || x.Flags != 0 || x.GRPCStatus != -1 {
		t.Errorf("left: %+v", x)
	}
	if n := testing.AllocsPerRun(10, func() { x.Request.Fields.Add("a", "1"); x.Reset(conn, time.Time{}) }); n != 0 {
		t.Errorf("using it again costs %v allocations", n)
	}
}
