package wire

import (
	"errors"
	"fmt"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
)

// read is a message's fields in a line.
func read(b []byte) string {
	all := ""
	err := Each(b, func(field Number, content []byte, n uint64) error {
		all += fmt.Sprintf("%d:%s:%d ", field, content, n)
		return nil
	})
	if err != nil {
		return err.Error()
	}
	return all
}

func TestWrittenIsRead(t *testing.T) {
	b := AppendText(nil, 1, "a\xffb")
	b = AppendFixed(b, 2, 7)
	b = AppendNumber(b, 3, 300)
	b = protowire.AppendFixed32(protowire.AppendTag(b, 4, protowire.Fixed32Type), 7)
	b = AppendBytes(b, 5, AppendNumber(nil, 1, 1))
	b = AppendMap(b, 6, map[string]string{"y": "2", "x": "1"})
	if got, want := read(b), "1:a?b:0 3::300 5:\b\x01:0 6:\n\x01x\x12\x011:0 6:\n\x01y\x12\x012:0 "; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	for i := range b {
		if read(b[:i]) == read(b) {
			t.Errorf("the first %d bytes are read as all", i)
		}
	}
	enough := errors.New("enough")
	if err := Each(b, func(Number, []byte, uint64) error { return enough }); !errors.Is(err, enough) {
		t.Error(err)
	}
}

func FuzzEach(f *testing.F) {
	f.Add([]byte("\x0a\x01a\x10\x01\x1b\x1c"))
	f.Fuzz(func(t *testing.T, b []byte) {
		var depth func([]byte, int)
		depth = func(b []byte, left int) {
			_ = Each(b, func(_ Number, content []byte, _ uint64) error {
				if left > 0 {
					depth(content, left-1)
				}
				return nil
			})
		}
		depth(b, 4)
	})
}
