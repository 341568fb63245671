package hpack

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/http2/hpack"
)

type list []hpack.HeaderField

func (l *list) Field(name, value string) {
	*l = append(*l, hpack.HeaderField{Name: name, Value: value})
}

// TestDecoderAgainstXNet: whatever x/net's encoder writes, with tables that change size, we read.
func TestDecoderAgainstXNet(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	var wire bytes.Buffer
	encoder, decoder := hpack.NewEncoder(&wire), NewDecoder(DefaultTableSize)
	for round := range 3000 {
		if random.IntN(50) == 0 {
			encoder.SetMaxDynamicTableSize(uint32(random.IntN(DefaultTableSize + 1)))
		}
		wire.Reset()
		sent := randomFields(random)
		for _, f := range sent {
			_ = encoder.WriteField(f)
		}
		var got list
		if err := decoder.Decode(wire.Bytes(), &got); err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		compare(t, round, got, sent)
	}
}

// TestEncoderAgainstXNet: whatever we write, x/net's decoder reads, and our own.
func TestEncoderAgainstXNet(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	encoder, own := NewEncoder(), NewDecoder(DefaultTableSize)
	other := hpack.NewDecoder(DefaultTableSize, nil)
	for round := range 3000 {
		for random.IntN(20) == 0 {
			encoder.SetLimit(uint32(random.IntN(2 * DefaultTableSize)))
		}
		sent := randomFields(random)
		block := encoder.Begin(nil)
		for _, f := range sent {
			block = encoder.Append(block, f.Name, f.Value)
		}
		got, err := other.DecodeFull(block)
		if err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		compare(t, round, got, sent)
		var mine list
		if err := own.Decode(block, &mine); err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		compare(t, round, mine, sent)
	}
}

func compare(t *testing.T, round int, got, want []hpack.HeaderField) {
	t.Helper()
	for i := range got {
		got[i].Sensitive = false
	}
	if !slices.Equal(got, want) {
		t.Fatalf("round %d: got %v, want %v", round, got, want)
	}
}

func randomFields(random *rand.Rand) []hpack.HeaderField {
	names := []string{":method", ":path", "cookie", "authorization", "x-a", "x-long-name-" + strings.Repeat("n", 70), "accept", "set-cookie"}
	fields := make([]hpack.HeaderField, random.IntN(20))
	for i := range fields {
		value := make([]byte, []int{0, 1, 5, 40, 700, 5000}[random.IntN(6)])
		for j := range value {
			value[j] = byte(random.IntN(256))
		}
		if random.IntN(2) == 0 {
			value = fmt.Append(nil, random.IntN(30))
		}
		fields[i] = hpack.HeaderField{Name: names[random.IntN(len(names))], Value: string(value)}
	}
	return fields
}

func TestHuffmanReadsEverySymbol(t *testing.T) {
	random := rand.New(rand.NewPCG(5, 6))
	for n := range 600 {
		text := make([]byte, n)
		for i := range text {
			text[i] = byte(random.IntN(256))
		}
		coded := hpack.AppendHuffmanString(nil, string(text))
		got, ok := appendHuffman(make([]byte, 0, maxHuffman(len(coded))), coded)
		if !ok || !bytes.Equal(got, text) {
			t.Fatalf("%q became %q, %v", text, got, ok)
		}
	}
}

func TestWhatIsRefused(t *testing.T) {
	for name, block := range map[string][]byte{
		"index 0":                 {0x80},
		"index behind the tables": {0x80 | 62},
		"index without end":       {0xff, 0xff, 0xff},
		"integer over 32 bits":    {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01},
		"table over the setting":  {0x3f, 0xe2, 0x1f},
		"table size behind field": {0x82, 0x20},
		"name cut off":            {0x40, 0x05, 'a'},
		"value missing":           {0x40, 0x01, 'a'},
		"value cut off":           {0x40, 0x01, 'a', 0x02, 'b'},
		"Huffman EOS":             {0x40, 0x01, 'a', 0x84, 0xff, 0xff, 0xff, 0xff},
		"padding of eight bits":   {0x40, 0x01, 'a', 0x82, 0x1f, 0xff}, // "a" and then ones
		"padding of zeros":        {0x40, 0x01, 'a', 0x81, 0x18},
	} {
		t.Run(name, func(t *testing.T) {
			var l list
			if err := NewDecoder(DefaultTableSize).Decode(block, &l); !errors.Is(err, ErrDecoding) {
				t.Errorf("got %v, fields %v", err, l)
			}
		})
	}
}

// TestSecretsAreNeverIndexed: a value that somebody might guess never gets into the table, however often it is sent.
func TestSecretsAreNeverIndexed(t *testing.T) {
	e := NewEncoder()
	for _, name := range []string{"authorization", "proxy-authorization", "cookie", "set-cookie"} {
		for range 3 {
			if block := e.Append(nil, name, "secret"); block[0]&0xf0 != 0x10 {
				t.Errorf("%s: first byte %#x", name, block[0])
			}
		}
	}
}

func TestRepeatedFieldCostsOneByteAndNoAllocation(t *testing.T) {
	e, d := NewEncoder(), NewDecoder(DefaultTableSize)
	var l list
	var block []byte
	round := func() {
		l = l[:0]
		block = e.Begin(block[:0])
		for _, f := range [...][2]string{{":method", "POST"}, {":path", "/a.b/C"}, {"te", "trailers"}, {"user-agent", "grpc-go/1.84.0"}} {
			block = e.Append(block, f[0], f[1])
		}
		if err := d.Decode(block, &l); err != nil {
			t.Fatal(err)
		}
	}
	for range 3 {
		round()
	}
	if len(block) != 4 {
		t.Errorf("the third time it is %d bytes", len(block))
	}
	if n := testing.AllocsPerRun(100, round); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// FuzzDecode: what we accept, x/net accepts with the same fields, but for its limits on integers.
func FuzzDecode(f *testing.F) {
	f.Add([]byte{0x82, 0x86, 0x84, 0x41, 0x8c, 0xf1, 0xe3, 0xc2, 0xe5, 0xf2, 0x3a, 0x6b, 0xa0, 0xab, 0x90, 0xf4, 0xff}, []byte{0xbe})
	f.Add([]byte{0x20, 0x3f, 0xe1, 0x1f, 0x40, 1, 'a', 1, 'b'}, []byte{0xbe, 0x7e, 1, 'c'})
	f.Fuzz(func(t *testing.T, first, second []byte) {
		own, other := NewDecoder(DefaultTableSize), hpack.NewDecoder(DefaultTableSize, nil)
		for _, block := range [][]byte{first, second} {
			var mine list
			err := own.Decode(block, &mine)
			theirs, otherErr := other.DecodeFull(block)
			if err != nil {
				return
			}
			if otherErr != nil {
				if strings.Contains(otherErr.Error(), "size update") {
					return // it doesn't always take two, RFC 7541 section 4.2 does
				}
				t.Fatalf("%x: we read %v, x/net says %v", block, mine, otherErr)
			}
			compare(t, 0, theirs, mine)
		}
	})
}

func BenchmarkDecodeHuffman(b *testing.B) {
	var wire bytes.Buffer
	for _, v := range []string{"/orders/4711/items?page=2", "Mozilla/5.0 (X11; Linux x86_64)", "application/json, text/plain;q=0.9"} {
		_ = hpack.NewEncoder(&wire).WriteField(hpack.HeaderField{Name: "x-value", Value: v, Sensitive: true})
	}
	b.Run("own", func(b *testing.B) {
		d := NewDecoder(DefaultTableSize)
		var l list
		b.ReportAllocs()
		for b.Loop() {
			l = l[:0]
			_ = d.Decode(wire.Bytes(), &l)
		}
	})
	b.Run("x-net", func(b *testing.B) {
		d := hpack.NewDecoder(DefaultTableSize, func(hpack.HeaderField) {})
		b.ReportAllocs()
		for b.Loop() {
			_, _ = d.Write(wire.Bytes())
		}
	})
}
