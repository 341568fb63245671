package webhook

import (
	"encoding/base64"
	"testing"
)

// TestBase64IsTheStandardOne: every length up to some rounds, with every byte in every place.
func TestBase64IsTheStandardOne(t *testing.T) {
	src := make([]byte, 40)
	for first := range 256 {
		for i := range src {
			src[i] = byte(first + 37*i)
		}
		for n := range len(src) + 1 {
			want := "x" + base64.StdEncoding.EncodeToString(src[:n])
			if got := string(appendBase64([]byte("x"), src[:n])); got != want {
				t.Fatalf("%x: %s, want %s", src[:n], got, want)
			}
		}
	}
}

func BenchmarkBase64(b *testing.B) {
	src, dst := make([]byte, 6600), make([]byte, 0, 16<<10)
	for b.Loop() {
		dst = appendBase64(dst[:0], src)
	}
}

func BenchmarkStd64(b *testing.B) {
	src, dst := make([]byte, 6600), make([]byte, 0, 16<<10)
	for b.Loop() {
		dst = base64.StdEncoding.AppendEncode(dst[:0], src)
	}
}
