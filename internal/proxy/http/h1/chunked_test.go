package h1

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net/http/httputil"
	"strings"
	"testing"

	"github.com/pillion-mesh/pillion/internal/proxy/http/codec"
	"github.com/pillion-mesh/pillion/internal/proxy/stream"
)

// dechunk feeds message in pieces of size bytes.
func dechunk(message []byte, size int) (data []byte, used int, done bool, err error) {
	var c chunks
	for used < len(message) && c.state != chunkDone {
		piece := message[used:min(len(message), used+size)]
		got, n, err := c.next(piece)
		data = append(data, got...)
		used += n
		if err != nil {
			return data, used, false, err
		}
	}
	return data, used, c.state == chunkDone, nil
}

func TestChunks(t *testing.T) {
	for name, c := range map[string]struct{ message, want string }{
		"one":           {"3|abc|0||", "abc"},
		"two":           {"3|abc|A|0123456789|0||", "abc0123456789"},
		"leading zeros": {"0003|abc|000||", "abc"},
		"extension":     {"3;a=b;c|abc|0;x||", "abc"},
		"trailers":      {"3|abc|0|X: y|Z: w||", "abc"},
		"none":          {"0||", ""},
		"sixteen":       {"0000000000000003|abc|0||", "abc"},
	} {
		t.Run(name, func(t *testing.T) {
			message := append(lines(c.message), "next"...)
			for size := 1; size <= len(message); size++ {
				data, used, done, err := dechunk(message, size)
				if string(data) != c.want || used != len(message)-4 || !done || err != nil {
					t.Fatalf("in pieces of %d: %q, %d, %v, %v", size, data, used, done, err)
				}
			}
		})
	}
}

func TestBrokenChunks(t *testing.T) {
	for name, message := range map[string]string{
		"seventeen digits":    "00000000000000003|abc|0||",
		"2^63":                "8000000000000000|a",
		"sign":                "+3|abc|0||",
		"0x":                  "0x3|abc|0||",
		"blank before":        " 3|abc|0||",
		"blank behind":        "3 |abc|0||",
		"LF alone":            "3\nabc|0||",
		"CR alone":            "3\rabc|0||",
		"no CRLF behind data": "3|abcd|0||",
		"LF behind data":      "3|abc\n0||",
		"empty size":          "|abc|0||",
		"extension of 5 KiB":  "3;" + strings.Repeat("x", 5<<10) + "|abc|0||",
		"LF in an extension":  "3;a\nb|abc|0||",
		"trailers of 9 KiB":   "0|x: " + strings.Repeat("x", 9<<10) + "||",
	} {
		t.Run(name, func(t *testing.T) {
			for _, size := range []int{1, 3, 1 << 20} {
				_, _, done, err := dechunk(lines(message), size)
				var f *codec.Failure
				if done || !errors.As(err, &f) {
					t.Errorf("in pieces of %d: done %v, %v", size, done, err)
				}
			}
		})
	}
}

func TestTrailers(t *testing.T) {
	var c chunks
	message := lines("0|X-Sum: 1|Content-Length: 5|Authorization: no|A_B: no|X-Forwarded-For: no|Transfer-Encoding: no|Host: no||")
	if _, _, err := c.next(message); err != nil || c.state != chunkDone {
		t.Fatal(c.state, err)
	}
	var f stream.Fields
	if err := c.fields(defaults, &f); err != nil || f.Len() != 1 || f.Value("x-sum") != "1" {
		t.Errorf("%v, %v", f, err)
	}
}

// FuzzChunks: cutting a body in pieces changes nothing, and what we accept net/http reads the same way.
func FuzzChunks(f *testing.F) {
	for _, seed := range []string{"3|abc|0||", "3;x|abc|0|a: b||", "10|0123456789abcdef|0||", "3|abc"} {
		f.Add(lines(seed), 1)
	}
	f.Fuzz(func(t *testing.T, message []byte, size int) {
		size = max(1, size&0xff)
		data, used, done, err := dechunk(message, size)
		whole, wholeUsed, wholeDone, wholeErr := dechunk(message, len(message)+1)
		if done != wholeDone || err == nil && (used != wholeUsed || wholeErr != nil || !bytes.Equal(data, whole)) {
			t.Fatalf("in pieces of %d: %q %d %v %v, whole: %q %d %v %v", size, data, used, done, err, whole, wholeUsed, wholeDone, wholeErr)
		}
		if !done {
			return
		}
		theirs, theirErr := io.ReadAll(httputil.NewChunkedReader(bufio.NewReader(bytes.NewReader(message))))
		if theirErr != nil || !bytes.Equal(theirs, data) {
			t.Fatalf("we read %q, net/http %q, %v", data, theirs, theirErr)
		}
	})
}
