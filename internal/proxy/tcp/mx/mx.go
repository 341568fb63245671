// Package mx is Istio's metadata exchange over TCP: who the two proxies of a connection are, told once before the
// payload. Metadata comes in, a frame goes out, and back. What is in the Struct is package peermetadata's business; this
// one has the frame and the google.protobuf.Any in it, without protobuf: wire.go.
package mx

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/pillion-mesh/pillion/internal/proxy/httpfilter/filter"
	"github.com/pillion-mesh/pillion/internal/proxy/httpfilter/peermetadata"
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
)

// Errors of frames.
var (
	ErrMagic     = errors.New("wrong magic number")
	ErrTooLong   = errors.New("longer than 64 KiB")
	ErrMalformed = errors.New("malformed")
)

// Frame returns what is sent once before the payload.
func Frame(self *filter.Self) []byte {
	content := map[string]any{peermetadata.Header: peermetadata.Metadata(self)}
	if self.NodeID != "" {
		content[peermetadata.HeaderID] = self.NodeID
	}
	envelope := appendBytes(nil, anyTypeURL, []byte(structURL))
	envelope = appendBytes(envelope, anyValue, peermetadata.EncodeStruct(content))
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
	return parse(body)
}

func parse(envelope []byte) (*stream.Peer, error) {
	value, ok := valueOf(envelope)
	if !ok {
		return nil, ErrMalformed
	}
	content, err := peermetadata.DecodeStruct(value)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	metadata, ok := content[peermetadata.Header].(map[string]any)
	if !ok {
		return nil, nil //nolint:nilnil // it says nothing
	}
	return peermetadata.Peer(metadata), nil
}
