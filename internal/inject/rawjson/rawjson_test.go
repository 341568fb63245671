package rawjson

import (
	"encoding/json"
	"errors"
	"reflect"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestUntouchedPartsStayText(t *testing.T) {
	v, err := Parse(`{ "b": [1.0, "\u0061"], "a": {"new": {"x":  1e3}} }`)
	if err != nil {
		t.Fatal(err)
	}
	got := v.With("c", NewString("d\n\"")).String()
	want := `{"b":[1.0, "\u0061"],"a":{"new": {"x":  1e3}},"c":"d\n\""}`
	if got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if v.Get("b").Items()[1].Text() != "a" {
		t.Error("an escaped string isn't decoded")
	}
}

func TestParseToStopsAtDepth(t *testing.T) {
	v, err := ParseTo(`{"request":{"uid":"u","object":{"spec":[1]}}}`, 2)
	if err != nil {
		t.Fatal(err)
	}
	object := v.Get("request", "object")
	if object.Raw() != `{"spec":[1]}` || object.Members() != nil {
		t.Errorf("object = %q with %d members, want its text only", object.Raw(), len(object.Members()))
	}
	if _, err := ParseTo(`{"request":{"object":{"spec":[1,]}}}`, 2); err == nil {
		t.Error("text below the depth isn't checked")
	}
}

func TestParseRefusesDeepNesting(t *testing.T) {
	if _, err := Parse(strings.Repeat("[", 100000)); err == nil {
		t.Error("100000 levels are taken")
	}
}

// TestMemoryFollowsValues: what only looks like values, inside of a string, takes no room for any.
func TestMemoryFollowsValues(t *testing.T) {
	text := `{"a":"` + strings.Repeat(`,`, 3<<20) + `"}`
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	if _, err := Parse(text); err != nil {
		t.Fatal(err)
	}
	runtime.ReadMemStats(&after)
	if got := after.TotalAlloc - before.TotalAlloc; got > 2<<20 {
		t.Errorf("parsing one string of commas allocates %d bytes", got)
	}
}

func TestParseUpTo(t *testing.T) {
	for n, good := range map[int]bool{4: true, 3: false} { // the list, its two items, and what is in the second
		if _, err := ParseUpTo(`[1,{"a":2}]`, n); (err == nil) != good {
			t.Errorf("4 values with at most %d: %v", n, err)
		}
	}
}

// TestManyValues: a document of several blocks is read as a small one is.
func TestManyValues(t *testing.T) {
	const items = 20 << 10
	text := "[" + strings.TrimSuffix(strings.Repeat(`{"name":"x","value":[1,"y"]},`, items), ",") + "]"
	v, err := Parse(text)
	if err != nil || rebuild(v).String() != text {
		t.Errorf("a list of %d items comes out changed (%v)", items, err)
	}
}

// TestOnlyWhatIsLookedAtIsMade: of a request's document nothing is made before somebody asks; a shared one is whole.
func TestOnlyWhatIsLookedAtIsMade(t *testing.T) {
	const text = `{"a": {"b": [1, {"c": 2}]}, "d": [3]}`
	v, err := ParseUpTo(text, 8)
	if err != nil {
		t.Fatal(err)
	}
	b := v.Get("a", "b")
	if v.parts.closed != nil || b.parts.closed == nil || v.Get("d").parts.closed == nil {
		t.Errorf("after a look at a.b: %+v", v)
	}
	if got := b.Items()[1].Get("c").Raw(); got != "2" || b.parts.closed != nil {
		t.Errorf("a.b[1].c = %q", got)
	}
	whole, err := Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	if whole.parts.closed != nil || whole.parts.members[0].Value.parts.members[0].Value.parts.items[1].parts.closed != nil || whole.parts.members[1].Value.parts.closed != nil {
		t.Error("a part of a document that may be shared is made only when somebody looks at it")
	}
}

// TestSkipPlain: every byte at every place, between bytes that are nearly special.
func TestSkipPlain(t *testing.T) {
	for c := range 256 {
		for at := range 20 {
			text := []byte(strings.Repeat("!#[]\x7f\x80 \xff", 4))
			text[at] = byte(c)
			want := len(text)
			if c == '"' || c == '\\' || c < 0x20 {
				want = at
			}
			if got := skipPlain(string(text), 0); got != want {
				t.Errorf("byte %#x at %d: %d, want %d", c, at, got, want)
			}
		}
	}
}

// TestQuote: every byte at every place, in plain text and in JSON, means what encoding/json makes of it.
func TestQuote(t *testing.T) {
	for c := range 256 {
		for at := range 20 {
			for _, around := range []string{"plain text of some length", `{"json":"with \"quotes\""}`, "é\n\xff\xfe日本語"} {
				text := around[:min(at, len(around))] + string([]byte{byte(c)}) + around[min(at, len(around)):]
				want, _ := json.Marshal(text)
				var got, meant string
				if err := errors.Join(json.Unmarshal([]byte(Quote(text)), &got), json.Unmarshal(want, &meant)); err != nil || got != meant {
					t.Fatalf("%q became %s (%v)", text, Quote(text), err)
				}
				if _, err := Parse(Quote(text)); err != nil || !utf8.ValidString(Quote(text)) {
					t.Fatalf("%q: %v", Quote(text), err)
				}
			}
		}
	}
}

// TestFinder: the same fields are found whether there are few or many, and of two of one name the first.
func TestFinder(t *testing.T) {
	for _, n := range []int{0, 1, few, few + 1, 10 * few} {
		var members []Member
		for i := range n {
			members = append(members, Member{strconv.Itoa(i), NewString("")})
		}
		object := NewObject(append(members, Member{"0", NewString("twice")})...)
		find := object.Finder()
		if (find.index != nil) != (n+1 > few) {
			t.Errorf("%d fields: index is %v", n+1, find.index)
		}
		for _, key := range []string{"0", strconv.Itoa(n - 1), "x"} {
			if find.Get(key) != object.Get(key) {
				t.Errorf("%d fields: %q is another one than Get's", n, key)
			}
		}
	}
}

func TestEqualInAnyOrder(t *testing.T) {
	var a, b []Member
	for i := range 2 * few {
		a = append(a, Member{strconv.Itoa(i), NewString("x")})
	}
	b = slices.Clone(a)
	slices.Reverse(b)
	if !Equal(NewObject(a...), NewObject(b...)) {
		t.Error("the order of fields counts")
	}
	b[0].Key = "other"
	if Equal(NewObject(a...), NewObject(b...)) {
		t.Error("another field doesn't count")
	}
}

func TestEqual(t *testing.T) {
	for _, row := range []struct {
		a, b string
		want bool
	}{
		{`{"a":1,"b":[1,2]}`, `{"b":[1, 2],"a":1.0}`, true},
		{`{"a":1}`, `{"a":1,"b":null}`, false},
		{`{"a":null,"c":1}`, `{"b":null,"c":1}`, false},
		{`"\u0061"`, `"a"`, true},
		{`[1,2]`, `[2,1]`, false},
		{`true`, `"true"`, false},
	} {
		a, _ := Parse(row.a)
		b, _ := Parse(row.b)
		if Equal(a, b) != row.want {
			t.Errorf("Equal(%s, %s) = %v", row.a, row.b, !row.want)
		}
	}
}

// FuzzParse compares with encoding/json: the same texts are JSON, and they mean the same.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{`{}`, `{"a":[1,-0.5e+3,"x\u00e9\n",true,null]}`, `[1,]`, `{"a" 1}`, `"` + "\x01" + `"`, `01`, `-`, `{"a":1}x`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		v, err := Parse(text)
		if valid := json.Valid([]byte(text)); valid != (err == nil) {
			if valid && strings.Contains(err.Error(), "nested") {
				return
			}
			t.Fatalf("encoding/json says %v, we say %v", valid, err)
		}
		if err != nil {
			return
		}
		rebuilt := rebuild(v).String()
		var a, b any
		if json.Unmarshal([]byte(text), &a) != nil { // out of float64's range
			return
		}
		if err := json.Unmarshal([]byte(rebuilt), &b); err != nil || !reflect.DeepEqual(a, b) {
			t.Fatalf("%q became %q (%v)", text, rebuilt, err)
		}
	})
}

// rebuild drops the text of lists, objects and strings, so that writing has to do all the work.
func rebuild(v *Value) *Value {
	switch v.Kind() {
	case Object:
		var members []Member
		for _, m := range v.Members() {
			members = append(members, Member{m.Key, rebuild(m.Value)})
		}
		return NewObject(members...)
	case List:
		var items []*Value
		for _, item := range v.Items() {
			items = append(items, rebuild(item))
		}
		return NewList(items...)
	case String:
		return NewString(v.Text())
	}
	return v
}
