package capture

import (
	"bytes"
	"encoding/json"
	"reflect"
	"testing"

	"github.com/pillion-mesh/pillion/internal/capture/plan"
)

// asReflected is what encoding/json makes of a value's tags.
func asReflected(t *testing.T, v any) string {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestEvidenceIsWrittenAsItsTagsSay(t *testing.T) {
	full := Evidence{}
	for i := range reflect.TypeFor[Evidence]().NumField() {
		switch f := reflect.ValueOf(&full).Elem().Field(i); f.Kind() {
		case reflect.String:
			f.SetString("a \"b\" <c>")
		case reflect.Int:
			f.SetInt(-7)
		case reflect.Float64:
			f.SetFloat(12.345)
		case reflect.Slice:
			f.Set(reflect.ValueOf([]string{"one", "t\two"}))
		default:
			t.Fatalf("field %d is a %s: teach this test and write", i, f.Kind())
		}
	}
	for _, e := range []Evidence{full, {}, {MS: 3, Foreign: []string{}, Warnings: []string{}}, {MS: 0.001}, {MS: 123456.789}} {
		var have bytes.Buffer
		if err := e.Write(&have); err != nil {
			t.Fatal(err)
		}
		if want := asReflected(t, e) + "\n"; have.String() != want {
			t.Errorf("%s\nwant\n%s", have.String(), want)
		}
		record := Record{Evidence: e, Plan: Nothing()}
		want, err := json.MarshalIndent(struct {
			Evidence Evidence   `json:"evidence"`
			Plan     *plan.Plan `json:"plan"`
		}{e, record.Plan}, "", "  ")
		if err != nil || string(record.text()) != string(want)+"\n" {
			t.Errorf("record:\n%s\nwant\n%s (%v)", record.text(), want, err)
		}
	}
}
