package inject

import (
	"fmt"
	"strings"
	"testing"

	"github.com/pillion-mesh/pillion/internal/inject/rawjson"
)

// TestUndoOfAUnion: a handler is one place. It goes back if what stands is what we wrote, whole, and not at all if it
// isn't, whatever somebody put there.
func TestUndoOfAUnion(t *testing.T) {
	const ours = `{"httpGet":{"path":"/app-health/app/readyz","port":15020,"scheme":"HTTP"},"periodSeconds":5}`
	was := map[string]string{
		"another kind":  `{"grpc":{"port":9},"periodSeconds":5}`,
		"the same kind": `{"httpGet":{"port":8080,"httpHeaders":[{"name":"a","value":"b"}]},"periodSeconds":5}`,
	}
	for name, was := range was {
		for _, c := range []struct{ what, stands, want string }{
			{"nothing changed", ours, was},
			{"another member of it", `{"tcpSocket":{"port":81}}`, `{"tcpSocket":{"port":81}}`},
			{"the same member", `{"httpGet":{"path":"/new","port":81}}`, `{"httpGet":{"path":"/new","port":81}}`},
			{"part of the member", `{"httpGet":{"path":"/new","port":15020,"scheme":"HTTP"}}`, `{"httpGet":{"path":"/new","port":15020,"scheme":"HTTP"}}`},
			{"a second one beside it", `{"httpGet":{"path":"/app-health/app/readyz","port":15020,"scheme":"HTTP"},"exec":{}}`, `{"httpGet":{"path":"/app-health/app/readyz","port":15020,"scheme":"HTTP"},"exec":{}}`},
			{"what isn't in it", strings.Replace(ours, "5}", "6}", 1), strings.Replace(was, "5}", "6}", 1)},
		} {
			got := revert(mustParse(t, containerOf(c.stands)), undoOf(t, containerOf(was), containerOf(ours)), containerSchema)
			if want := mustParse(t, containerOf(c.want)); !rawjson.Equal(got, want) {
				t.Errorf("%s, %s: taken back it is\n%s, want\n%s", name, c.what, got, want)
			}
		}
	}
}

func containerOf(probe string) string { return `{"name":"app","readinessProbe":` + probe + `}` }

func undoOf(t *testing.T, was, is string) *rawjson.Value {
	t.Helper()
	u := &undoText{}
	if !u.changes(mustParse(t, was), mustParse(t, is), containerSchema) {
		t.Fatalf("%s and %s don't differ", was, is)
	}
	return mustParse(t, string(u.b))
}

func mustParse(t *testing.T, text string) *rawjson.Value {
	t.Helper()
	v, err := rawjson.Parse(text)
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return v
}

// TestUndoKeepsNoValues: variables that are there twice are the application's business; only ours are written down.
func TestUndoKeepsNoValues(t *testing.T) {
	was := mustParse(t, `{"env":[{"name":"A","value":"secret1"},{"name":"A","value":"secret2"}]}`)
	is := fill(was, mustParse(t, `{"env":[{"name":"A","value":"ours"},{"name":"B","value":"ours"}]}`), containerSchema)
	u := &undoText{}
	u.changes(was, is, containerSchema)
	if got := string(u.b); got != `{"env":{"B":{"name":["B"],"value":["ours"]}}}` {
		t.Errorf("undo holds %s, want only our variable", got)
	}
	if back := revert(is, mustParse(t, string(u.b)), containerSchema); !rawjson.Equal(back, was) {
		t.Errorf("taken back it is %s, want %s", back, was)
	}
}

// TestRevertIsLinear counts what reverting makes, since time depends on who else is at work: as much for 15 000 changes
// of 100 000 fields as there are fields, not their product.
func TestRevertIsLinear(t *testing.T) {
	v, changed := manyChanges(t, 100_000, 15_000)
	allocations := testing.AllocsPerRun(1, func() { revert(v, changed, nil) })
	if allocations > 100_000 {
		t.Errorf("taking 15 000 changes back makes %v things", allocations)
	}
	if n := len(revert(v, changed, nil).Members()); n != 85_000 {
		t.Errorf("%d fields are left, want 85000", n)
	}
}

func manyChanges(t testing.TB, fields, changes int) (v, changed *rawjson.Value) {
	t.Helper()
	var is, undo []rawjson.Member
	text := rawjson.NewString("v")
	for i := range fields {
		is = append(is, rawjson.Member{Key: fmt.Sprint(fields - i), Value: text})
	}
	for i := range changes {
		undo = append(undo, rawjson.Member{Key: fmt.Sprint(i + 1), Value: rawjson.NewList(text)})
	}
	return rawjson.NewObject(is...), rawjson.NewObject(undo...)
}

func BenchmarkRevert(b *testing.B) {
	v, changed := manyChanges(b, 100_000, 15_000)
	for b.Loop() {
		revert(v, changed, nil)
	}
}
