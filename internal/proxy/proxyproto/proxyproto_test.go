package proxyproto

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"reflect"
	"strings"
	"testing"

	"github.com/pillion-mesh/pillion/internal/proxy/stream"
)

func anyVersion(Version) bool { return true }

// read gives a parser the bytes as they come, one more each time it asks, and says what it made of them.
func read(b string) (h Header, size int, err error) {
	for n := 1; ; {
		n = min(n, len(b))
		v, more := Guess([]byte(b[:n]), anyVersion)
		need := n + 1
		switch {
		case v == None && !more:
			return h, 0, nil
		case v != None:
			if h, size, need, err = Parse([]byte(b[:n]), v); err != nil || size > 0 {
				return h, size, err
			}
		}
		if need <= n {
			return h, 0, fmt.Errorf("%d bytes are wanted of %d", need, n)
		}
		if n == len(b) {
			return h, 0, errUnfinished
		}
		n = need
	}
}

var errUnfinished = errors.New("unfinished")

const (
	sig   = "\r\n\r\n\x00\r\nQUIT\n"
	ends4 = "\x0a\x00\x00\x01\x0a\x00\x00\x02\x03\xe8\x00\x50"
)

func TestParse(t *testing.T) {
	four := Header{Source: netip.MustParseAddrPort("10.0.0.1:1000"), Destination: netip.MustParseAddrPort("10.0.0.2:80")}
	six := Header{Version: V1, Source: netip.MustParseAddrPort("[2001:db8::1]:1"), Destination: netip.MustParseAddrPort("[2001:db8::2]:65535")}
	of := func(v Version, h Header, tlvs ...stream.TLV) Header {
		h.Version, h.TLVs = v, tlvs
		return h
	}
	for text, want := range map[string]struct {
		h    Header
		size int // with nothing behind it
		err  error
	}{
		"PROXY TCP4 10.0.0.1 10.0.0.2 1000 80\r\n":                          {of(V1, four), 38, nil},
		"PROXY TCP6 2001:db8::1 2001:db8::2 1 65535\r\n":                    {six, 44, nil},
		"PROXY UNKNOWN\r\n":                                                 {Header{Version: V1, Local: true}, 15, nil},
		"PROXY UNKNOWN ffff:: ffff:: 65535 65535 whatever\r\n":              {Header{Version: V1, Local: true}, 50, nil},
		"PROXY UNKNOWN " + strings.Repeat("x", 91) + "\r\n":                 {Header{Version: V1, Local: true}, 107, nil},
		"PROXY UNKNOWN " + strings.Repeat("x", 92) + "\r\n":                 {err: ErrMalformed},
		"PROXY TCP4 10.0.0.1 10.0.0.2 1000 80\n" + strings.Repeat("x", 100): {err: ErrMalformed},
		"PROXY TCP4 10.0.0.1 10.0.0.2 1000\r\n":                             {err: ErrMalformed},
		"PROXY TCP4 10.0.0.1 10.0.0.2 1000 80 \r\n":                         {err: ErrMalformed},
		"PROXY TCP4 10.0.0.1  10.0.0.2 1000 80\r\n":                         {err: ErrMalformed},
		"PROXY TCP4 10.0.0.1 10.0.0.2 01000 80\r\n":                         {err: ErrMalformed},
		"PROXY TCP4 10.0.0.1 10.0.0.2 1000 +80\r\n":                         {err: ErrMalformed},
		"PROXY TCP4 10.0.0.1 10.0.0.2 1000 65536\r\n":                       {err: ErrMalformed},
		"PROXY TCP4 10.0.0.01 10.0.0.2 1000 80\r\n":                         {err: ErrMalformed},
		"PROXY TCP4 ::1 ::2 1000 80\r\n":                                    {err: ErrMalformed},
		"PROXY TCP6 10.0.0.1 10.0.0.2 1000 80\r\n":                          {err: ErrMalformed},
		"PROXY TCP6 fe80::1%eth0 fe80::2 1000 80\r\n":                       {err: ErrMalformed},
		"PROXY UDP4 10.0.0.1 10.0.0.2 1000 80\r\n":                          {err: ErrMalformed},
		"PROXY \r\n":                     {err: ErrMalformed},
		"PROXY TCP4 10.0.0.1":            {err: errUnfinished},
		"PROX":                           {err: errUnfinished},
		"GET / HTTP/1.1\r\n":             {},
		"PROXYGET":                       {},
		sig + "\x21\x11\x00\x0c" + ends4: {of(V2, four), 28, nil},
		sig + "\x21\x11\x00\x14" + ends4 + "\x01\x00\x02h2\xea\x00\x00": {of(V2, four, stream.TLV{Type: 1, Value: []byte("h2")}, stream.TLV{Type: 0xea, Value: []byte{}}), 36, nil},
		sig + "\x21\x21\x00\x24" + strings.Repeat("\x00", 15) + "\x01" + strings.Repeat("\x00", 15) + "\x02\x00\x01\x00\x02": {
			Header{Version: V2, Source: netip.MustParseAddrPort("[::1]:1"), Destination: netip.MustParseAddrPort("[::2]:2")}, 52, nil},
		sig + "\x20\x11\x00\x0c" + ends4:                  {Header{Version: V2, Local: true}, 28, nil},
		sig + "\x20\x00\x00\x00":                          {Header{Version: V2, Local: true}, 16, nil},
		sig + "\x21\x00\x00\x02xx":                        {Header{Version: V2, Local: true}, 18, nil},
		sig + "\x22\x11\x00\x0c" + ends4:                  {err: ErrMalformed},
		sig + "\x11\x11\x00\x0c" + ends4:                  {err: ErrMalformed},
		sig + "\x21\x12\x00\x0c" + ends4:                  {err: ErrMalformed},
		sig + "\x21\x31\x00\x0c" + ends4:                  {err: ErrMalformed},
		sig + "\x21\x11\x00\x0b" + ends4:                  {err: ErrMalformed},
		sig + "\x21\x11\x00\x0e" + ends4 + "\x01\x00":     {err: ErrMalformed},
		sig + "\x21\x11\x00\x0f" + ends4 + "\x01\x00\x01": {err: ErrMalformed},
		sig + "\x21\x11\xff\xff":                          {err: ErrMalformed}, // more than anybody keeps
		sig + "\x21\x11\xff\xf0":                          {err: errUnfinished},
		sig:                                               {err: errUnfinished},
		"\r\n\r\n\x00\r\nQUIT\r":                          {},
	} {
		for _, rest := range []string{"", "rest"} {
			if rest != "" && (want.err != nil || want.size == 0) {
				continue
			}
			h, size, err := read(text + rest)
			if !errors.Is(err, want.err) || size != want.size || err == nil && size > 0 && !reflect.DeepEqual(h, want.h) {
				t.Errorf("%.60q: %+v, %d, %v", text, h, size, err)
			}
		}
	}
}

// TestGuess: what isn't allowed isn't looked for.
func TestGuess(t *testing.T) {
	only := func(v Version) func(Version) bool { return func(w Version) bool { return v == w } }
	for text, want := range map[string][2]Version{"PROXY x": {V1, None}, sig: {None, V2}} {
		for i, allowed := range []func(Version) bool{only(V1), only(V2)} {
			if v, more := Guess([]byte(text), allowed); v != want[i] || more {
				t.Errorf("%q: %d, %v", text, v, more)
			}
		}
	}
}

func randomHeader() Header {
	h := Header{Version: V1 + Version(rand.IntN(2)), Local: rand.IntN(8) == 0}
	if h.Local {
		return h
	}
	address := func() netip.AddrPort {
		a := netip.AddrFrom4([4]byte{10, byte(rand.Uint32()), 3, 4})
		if rand.IntN(2) == 0 {
			a = netip.AddrFrom16([16]byte{0x20, 1, 15: byte(rand.Uint32())})
		}
		return netip.AddrPortFrom(a, uint16(rand.Uint32()))
	}
	h.Source, h.Destination = address(), address()
	for range rand.IntN(4) * int(h.Version-V1) {
		h.TLVs = append(h.TLVs, stream.TLV{Type: byte(rand.Uint32()), Value: bytes.Repeat([]byte("v"), rand.IntN(300))})
	}
	return h
}

// TestWrittenIsRead: what is written is read as it was, whatever stands behind it.
func TestWrittenIsRead(t *testing.T) {
	for range 2000 {
		h := randomHeader()
		b, err := h.Append([]byte("before"))
		if err != nil {
			t.Fatal(err)
		}
		got, size, err := read(string(b[6:]) + "GET /")
		if err != nil || size != len(b)-6 || !reflect.DeepEqual(got, h) {
			t.Fatalf("%+v became %+v, %d, %v", h, got, size, err)
		}
	}
}

func TestTooLong(t *testing.T) {
	h := Header{Version: V2, Source: netip.MustParseAddrPort("10.0.0.1:1"), Destination: netip.MustParseAddrPort("10.0.0.1:1"), TLVs: []stream.TLV{{Value: make([]byte, 65510)}}}
	if _, err := h.Append(nil); !errors.Is(err, ErrTooLong) {
		t.Error(err)
	}
	h.TLVs[0].Value = h.TLVs[0].Value[:65500]
	if b, err := h.Append(nil); err != nil || len(b) != prefix+addresses4+tlvHead+65500 {
		t.Error(len(b), err)
	}
}

// FuzzProxyProtocol: nothing panics, nothing is read beyond the header, and what is read is the same when it is written.
func FuzzProxyProtocol(f *testing.F) {
	for _, text := range []string{
		"PROXY TCP4 10.0.0.1 10.0.0.2 1000 80\r\nx", "PROXY UNKNOWN\r\n", sig + "\x21\x11\x00\x0c" + ends4, sig + "\x20\x00\x00\x00", sig + "\x21\x11\x00\x14" + ends4 + "\x01\x00\x02h2\xea\x00\x00",
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		v, more := Guess(b, anyVersion)
		if v == None || more {
			return
		}
		h, size, need, err := Parse(b, v)
		switch {
		case err != nil:
			return
		case size == 0:
			if need <= len(b) || need > MaxV2 {
				t.Fatalf("%d bytes are wanted of %d", need, len(b))
			}
			return
		case size > len(b):
			t.Fatalf("%d bytes of %d", size, len(b))
		}
		again, err := h.Append(nil)
		if err != nil {
			t.Fatal(err)
		}
		got, n, _, err := Parse(again, v)
		if err != nil || n != len(again) || !reflect.DeepEqual(got, h) {
			t.Fatalf("%+v became %+v, %v", h, got, err)
		}
	})
}
