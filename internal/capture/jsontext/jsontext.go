// Package jsontext writes JSON a member at a time, as encoding/json would: names and values come in, text comes out.
// Capture lives for a few milliseconds, of which encoding/json's look at the types took a tenth.
package jsontext

import (
	"encoding/json"
	"strconv"
)

// Writer holds what was written so far. Of a member the name comes first; "" means an element of a list.
type Writer struct{ Text []byte }

// Open starts an object or a list: bracket is '{' or '['.
func (w *Writer) Open(name string, bracket byte) {
	w.name(name)
	w.Text = append(w.Text, bracket)
}

// Close ends what Open started: bracket is '}' or ']'.
func (w *Writer) Close(bracket byte) { w.Text = append(w.Text, bracket) }

// Raw writes a value that is JSON already.
func (w *Writer) Raw(name, value string) {
	w.name(name)
	w.Text = append(w.Text, value...)
}

// String writes a string.
func (w *Writer) String(name, value string) {
	w.name(name)
	w.quote(value)
}

// Uint writes a number.
func (w *Writer) Uint(name string, value uint64) {
	w.name(name)
	w.Text = strconv.AppendUint(w.Text, value, 10)
}

// Bool writes true or false.
func (w *Writer) Bool(name string, value bool) {
	w.name(name)
	w.Text = strconv.AppendBool(w.Text, value)
}

// List writes a list; nil is null, as it is to encoding/json.
func List[T any](w *Writer, name string, list []T, element func(*Writer, T)) {
	if list == nil {
		w.Raw(name, "null")
		return
	}
	w.Open(name, '[')
	for _, e := range list {
		element(w, e)
	}
	w.Close(']')
}

func (w *Writer) name(name string) {
	if n := len(w.Text); n > 0 && w.Text[n-1] != '{' && w.Text[n-1] != '[' {
		w.Text = append(w.Text, ',')
	}
	if name != "" {
		w.quote(name)
		w.Text = append(w.Text, ':')
	}
}

// quote leaves what isn't plain to encoding/json, which knows what HTML and UTF-8 want.
func (w *Writer) quote(value string) {
	for i := range len(value) {
		if c := value[i]; c < ' ' || c > '~' || c == '"' || c == '\\' || c == '<' || c == '>' || c == '&' {
			quoted, _ := json.Marshal(value) // a string always can be
			w.Text = append(w.Text, quoted...)
			return
		}
	}
	w.Text = append(w.Text, '"')
	w.Text = append(w.Text, value...)
	w.Text = append(w.Text, '"')
}
