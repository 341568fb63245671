package jsontext

import (
	"encoding/json"
	"testing"
)

func TestWriter(t *testing.T) {
	w := &Writer{}
	w.Open("", '{')
	w.String("a", `b"c`)
	w.Uint("n", 7)
	w.Bool("yes", true)
	List(w, "list", []string{"x", "y"}, func(w *Writer, s string) { w.String("", s) })
	List(w, "none", []string(nil), func(w *Writer, s string) { w.String("", s) })
	List(w, "empty", []string{}, func(w *Writer, s string) { w.String("", s) })
	w.Open("in", '{')
	w.Close('}')
	w.Raw("raw", "1.5")
	w.Close('}')
	const want = `{"a":"b\"c","n":7,"yes":true,"list":["x","y"],"none":null,"empty":[],"in":{},"raw":1.5}`
	if string(w.Text) != want || !json.Valid(w.Text) {
		t.Errorf("%s\nwant\n%s", w.Text, want)
	}
}

// Every text is quoted as encoding/json quotes it.
func FuzzString(f *testing.F) {
	for _, s := range []string{"", "plain", "<a> & b", "\x00\x7f\xff", "é\u2028", `"\`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		w := &Writer{}
		w.String("", s)
		want, err := json.Marshal(s)
		if err != nil || string(w.Text) != string(want) {
			t.Errorf("%q: %s, want %s (%v)", s, w.Text, want, err)
		}
	})
}
