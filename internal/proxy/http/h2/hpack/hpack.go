// Package hpack is HTTP/2's header compression, RFC 7541, for a proxy: header blocks come in and fields go out, and the
// other way round. It differs from golang.org/x/net/http2/hpack, which its tests compare it with, in what costs a
// proxy time: Huffman codes are read by a table, literals of a block share their memory, and the encoder looks fields
// up without a map and keeps only those it saw twice. Read decoder.go and encoder.go; table.go is what both share.
package hpack

import "errors"

// ErrDecoding is the cause of every error of a Decoder. The connection's state is lost then: COMPRESSION_ERROR.
var ErrDecoding = errors.New("header block can't be decoded")

// DefaultTableSize is SETTINGS_HEADER_TABLE_SIZE where nobody said another, in bytes.
const DefaultTableSize = 4096

// Sink takes the fields of a block, in order. The strings stay valid.
type Sink interface{ Field(name, value string) }
