package front

import (
	"bufio"
	"bytes"
	"net/http"
	"strings"
	"testing"
)

const plainHead = "POST /inject/injector/default?timeout=5s HTTP/1.1\r\nHost: pillion.svc:443\r\nUser-Agent: kube-apiserver-admission\r\n" +
	"Content-Length: 12\r\nAccept: application/json, */*\r\nContent-Type: application/json\r\nAccept-Encoding: gzip\r\n\r\n"

func TestParseHead(t *testing.T) {
	replaced := func(old, with string) string { return strings.Replace(plainHead, old, with, 1) }
	for name, row := range map[string]struct {
		text         string
		whole, plain bool
	}{
		"what an API server sends": {plainHead, true, true},
		"with its body":            {plainHead + "123456789012POST", true, true},
		"half of it":               {plainHead[:60], false, true},
		"nothing":                  {"", false, true},
		"no end":                   {strings.Repeat("a", maxHead), false, false},
		"too long":                 {replaced("gzip", strings.Repeat("a", maxHead)), true, false},
		"a token":                  {replaced("Accept:", "Authorization: Bearer abc.def\r\nTraceparent: 00-12-34-01\r\nAccept:"), true, true},
		"another method":           {replaced("POST", "GET"), true, false},
		"another version":          {replaced("HTTP/1.1", "HTTP/1.0"), true, false},
		"a whole URL":              {replaced("POST /", "POST https://x/"), true, false},
		"an escaped path":          {replaced("/default", "/%2e"), true, false},
		"a fragment":               {replaced("/default", "/#a"), true, false},
		"a space in the path":      {replaced("/default", "/ a"), true, false},
		"no host":                  {replaced("Host: pillion.svc:443\r\n", ""), true, false},
		"two hosts":                {replaced("Host:", "Host: a\r\nHost:"), true, false},
		"no length":                {replaced("Content-Length: 12\r\n", ""), true, false},
		"two lengths":              {replaced("Content-Length:", "Content-Length: 12\r\nContent-Length:"), true, false},
		"a length with a sign":     {replaced(": 12", ": +12"), true, false},
		"a length below zero":      {replaced(": 12", ": -12"), true, false},
		"a large length":           {replaced(": 12", ": 99999999999999999999"), true, false},
		"a length in hex":          {replaced(": 12", ": 0x12"), true, false},
		"chunks":                   {replaced("Content-Length: 12", "Transfer-Encoding: chunked"), true, false},
		"both":                     {replaced("Accept:", "Transfer-Encoding: chunked\r\nAccept:"), true, false},
		"a wait":                   {replaced("Accept:", "Expect: 100-continue\r\nAccept:"), true, false},
		"an end":                   {replaced("Accept:", "Connection: close\r\nAccept:"), true, false},
		"an unknown field":         {replaced("Accept:", "X-Else: 1\r\nAccept:"), true, false},
		"another spelling":         {replaced("Content-Length", "content-length"), true, false},
		"a folded line":            {replaced("application/json, */*", "application/json,\r\n */*"), true, false},
		"a bare newline":           {replaced("gzip", "gzip\nContent-Length: 3"), true, false},
		"a zero byte":              {replaced("gzip", "gz\x00ip"), true, false},
		"a space before the colon": {replaced("Accept:", "Accept :"), true, false},
	} {
		h, whole, plain := parseHead([]byte(row.text))
		if whole != row.whole || plain != row.plain {
			t.Errorf("%s: whole %t, plain %t", name, whole, plain)
		}
		if whole && plain && (h.path != "/inject/injector/default" || h.query != "timeout=5s" || h.contentType != "application/json" || h.length != 12) {
			t.Errorf("%s: %+v", name, h)
		}
	}
}

// FuzzParseHead: what we take for plain, net/http reads the same way, and as far.
func FuzzParseHead(f *testing.F) {
	f.Add([]byte(plainHead))
	f.Add([]byte("POST /?a=b HTTP/1.1\r\nContent-Length: 0\r\nHost: a\r\n\r\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		h, whole, plain := parseHead(text)
		if !whole || !plain {
			return
		}
		rest := bytes.NewReader(text)
		reader := bufio.NewReaderSize(rest, 2*maxHead)
		r, err := http.ReadRequest(reader)
		if err != nil {
			t.Fatalf("net/http refuses it: %v", err)
		}
		if r.Method != http.MethodPost || r.URL.Path != h.path || r.URL.RawQuery != h.query || r.ContentLength != h.length ||
			r.Header.Get("Content-Type") != h.contentType || r.Close || r.TransferEncoding != nil || r.ProtoMinor != 1 {
			t.Errorf("net/http reads %+v, we %+v", r, h)
		}
		if size := len(text) - rest.Len() - reader.Buffered(); size != h.size {
			t.Errorf("the head ends at %d for net/http, at %d for us", size, h.size)
		}
	})
}
