package rawjson

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
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
