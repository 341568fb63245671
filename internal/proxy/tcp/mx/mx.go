// Package mx is the wire of Istio's peer metadata: who a workload says it is. A stream.Peer comes in, bytes go out, and
// back. Struct and ParseStruct are the google.protobuf.Struct that HTTP carries in x-envoy-peer-metadata; Frame and Read
// put it into what TCP connections exchange before their payload. It has a codec of its own for the little of protobuf
// that needs, in wire.go: the data path links no protobuf.
package mx

import (
	"encoding/binary"
	"errors"
	"io"

	"github.com/pillion-mesh/pillion/internal/proxy/stream"
)

// Protocol is the ALPN under which peers exchange.
const Protocol = "istio-peer-exchange"

// A frame is a magic number and a length, 4 bytes each, big-endian, and a google.protobuf.Any that holds a Struct.
const (
	magic     = 0x3D230467
	header    = 8
	maxLength = 64 << 10
	structURL = "type.googleapis.com/google.protobuf.Struct"

	keyMetadata = "x-envoy-peer-metadata"
	keyID       = "x-envoy-peer-metadata-id"
)

// Errors of frames and structs.
var (
	ErrMagic     = errors.New("no metadata exchange: wrong magic number")
	ErrTooLong   = errors.New("no metadata exchange: longer than 64 KiB")
	ErrMalformed = errors.New("malformed peer metadata")
)

// Frame returns what is sent once before the payload. id is the node's id.
func Frame(p *stream.Peer, id string) []byte {
	var outer []byte
	outer = appendField(outer, keyMetadata, structValue(Struct(p)))
	if id != "" {
		outer = appendField(outer, keyID, stringValue(id))
	}
	envelope := appendBytes(nil, anyTypeURL, []byte(structURL))
	envelope = appendBytes(envelope, anyValue, outer)
	frame := binary.BigEndian.AppendUint32(nil, magic)
	frame = binary.BigEndian.AppendUint32(frame, uint32(len(envelope)))
	return append(frame, envelope...)
}

// Read reads one frame and not a byte more. The peer is nil if the frame says nothing of it. An error is one of this
// package's, or the reader's.
func Read(r io.Reader) (*stream.Peer, error) {
	var head [header]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return nil, err
	}
	if binary.BigEndian.Uint32(head[:]) != magic {
		return nil, ErrMagic
	}
	length := binary.BigEndian.Uint32(head[4:])
	if length > maxLength {
		return nil, ErrTooLong
	}
	body := make([]byte, length)
	if _, err := io.ReadFull(r, body); err != nil {
		return nil, err
	}
	return parseEnvelope(body)
}

func parseEnvelope(b []byte) (*stream.Peer, error) {
	var value []byte
	if err := eachField(b, func(number uint64, body []byte) {
		if number == anyValue {
			value = body
		}
	}); err != nil {
		return nil, err
	}
	var metadata []byte
	if err := eachEntry(value, func(key string, v pbValue) {
		if key == keyMetadata && v.isStruct {
			metadata = v.bytes
		}
	}); err != nil || metadata == nil {
		return nil, err
	}
	return ParseStruct(metadata)
}
