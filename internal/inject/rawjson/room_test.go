package rawjson

import (
	"fmt"
	"strings"
	"testing"
)

// TestRoom: documents read into one room one after the other are what they are alone, and none is left afterwards.
func TestRoom(t *testing.T) {
	var room Room
	for _, n := range []int{3, 400, 1, 3 * most, 0, 17} {
		text := "[" + strings.TrimSuffix(strings.Repeat(fmt.Sprintf(`{"name":"x%d","value":[1,"y"]},`, n), n), ",") + "]"
		v, err := room.ParseUpTo(text, 1<<20)
		if err != nil || rebuild(v).String() != text {
			t.Errorf("%d items come out changed (%v)", n, err)
		}
		var first *Value
		if n > 0 {
			first = v.Items()[0]
		}
		room.Clear()
		d := &room.document
		if len(d.values.block) > most || len(d.items.block) > most || len(d.parts.block) > most || len(d.members.block) > most || cap(d.spans) > most {
			t.Errorf("after %d items the room is %d, %d, %d, %d, %d", n, len(d.values.block), len(d.items.block), len(d.parts.block), len(d.members.block), cap(d.spans))
		}
		for i, value := range d.values.block {
			if value != (Value{}) {
				t.Fatalf("after %d items, value %d is left: %q", n, i, value.raw)
			}
		}
		if n > 0 && n <= some && (v.Kind() != Null || first.Raw() != "") {
			t.Errorf("who kept a value of %d items sees %q and %q", n, v.Raw(), first.Raw())
		}
	}
}

// TestRoomIsUsedAgain: the second time a document takes no memory.
func TestRoomIsUsedAgain(t *testing.T) {
	var room Room
	text := `{"a":[1,{"b":"c"}],"d":{"e":[true,null,{}]}}`
	read := func() {
		v, err := room.ParseUpTo(text, 100)
		if err != nil || v.Get("d", "e").Items()[2].Kind() != Object {
			t.Errorf("read as %v (%v)", v, err)
		}
	}
	if n := testing.AllocsPerRun(10, read); n != 0 {
		t.Errorf("%v allocations", n)
	}
	if _, err := room.ParseUpTo(`[1,`, 100); err == nil {
		t.Error("bad text is taken")
	}
	read()
}
