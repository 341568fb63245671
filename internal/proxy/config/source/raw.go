package source

import (
	"bytes"
	"compress/flate"
	"hash/maphash"
	"io"
)

// blockSize is how many bytes of resources are deflated together.
const blockSize = 64 << 10

// seed makes sums that nobody outside can aim at.
var seed = maphash.MakeSeed()

// raw are a resource's bytes: as they came, or as a piece of a block.
type raw struct {
	plain    []byte // nil: in block
	block    *block
	at, size int
	sum      uint64
}

// block holds resources deflated. It is never changed.
type block struct {
	deflated []byte
	size     int
}

func loose(b []byte) raw { return raw{plain: b, size: len(b), sum: maphash.Bytes(seed, b)} }

// equal reports whether these are the same bytes; of packed ones by length and sum.
func (r raw) equal(b []byte) bool {
	if r.block == nil {
		return bytes.Equal(r.plain, b)
	}
	return r.size == len(b) && r.sum == maphash.Bytes(seed, b)
}

// inflater reads packed bytes. It keeps the last block, so that neighbours cost one inflation. It serves one reader.
type inflater struct {
	block *block
	data  []byte
}

// bytes returns a resource's bytes, which mustn't be changed.
func (i *inflater) bytes(r raw) []byte {
	if r.block == nil {
		return r.plain
	}
	if i.block != r.block {
		data := make([]byte, r.block.size)
		if _, err := io.ReadFull(flate.NewReader(bytes.NewReader(r.block.deflated)), data); err != nil {
			return nil // we deflated it ourselves
		}
		i.block, i.data = r.block, data
	}
	return i.data[r.at : r.at+r.size : r.at+r.size]
}

// deflater packs pieces into blocks, one after the other with the same tables.
type deflater struct {
	out bytes.Buffer
	w   *flate.Writer
}

func newDeflater() (*deflater, error) {
	d := &deflater{}
	var err error
	d.w, err = flate.NewWriter(&d.out, flate.DefaultCompression)
	return d, err
}

// block packs pieces into one block.
func (d *deflater) block(pieces []piece) (*block, error) {
	d.out.Reset()
	d.w.Reset(&d.out)
	size := 0
	for _, p := range pieces {
		size += len(p.bytes)
		if _, err := d.w.Write(p.bytes); err != nil {
			return nil, err
		}
	}
	if err := d.w.Close(); err != nil {
		return nil, err
	}
	return &block{deflated: bytes.Clone(d.out.Bytes()), size: size}, nil
}
