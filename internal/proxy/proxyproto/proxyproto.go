// Package proxyproto reads and writes the header of HAProxy's PROXY protocol, versions 1 and 2, with which a load balancer
// tells for whom it connects. The first bytes of a connection come in; a Header and its length go out, or the other way.
//
// https://www.haproxy.org/download/3.1/doc/proxy-protocol.txt
package proxyproto

import (
	"bytes"
	"errors"
	"net/netip"

	"github.com/pillion-mesh/pillion/internal/proxy/stream"
)

// Lengths in bytes.
const (
	maxV1 = 107 // with its line end
	// MaxV2 bounds what is read of version 2, whose length could say a little more: who reads must keep all of it.
	MaxV2  = 64 << 10
	prefix = 16 // of version 2, before addresses
)

// The signatures.
var (
	signature1 = []byte("PROXY ")
	signature2 = []byte("\r\n\r\n\x00\r\nQUIT\n")
)

// Version is one of the protocol's.
type Version uint8

// The versions. None is a connection without a header.
const (
	None Version = iota
	V1
	V2
)

// Header is what a header says.
type Header struct {
	Version Version
	// Local: the connection is its sender's own, or of a kind the protocol doesn't know; its addresses are the socket's.
	Local               bool
	Source, Destination netip.AddrPort
	TLVs                []stream.TLV // of version 2, in the buffer that was read
}

// ErrMalformed is the error of a header that has a signature and can't be read.
var ErrMalformed = errors.New("malformed PROXY protocol header")

// Guess tells the version of b's header, of those that allowed has; more: b may become one.
func Guess(b []byte, allowed func(Version) bool) (v Version, more bool) {
	for _, each := range [...]struct {
		version   Version
		signature []byte
	}{{V1, signature1}, {V2, signature2}} {
		n := min(len(b), len(each.signature))
		if !allowed(each.version) || !bytes.Equal(b[:n], each.signature[:n]) {
			continue
		}
		if n == len(each.signature) {
			return each.version, false
		}
		more = true
	}
	return None, more
}

// Parse reads the header b begins with, of the version that Guess told. size is its length, 0: as many bytes as need says
// are wanted.
func Parse(b []byte, v Version) (h Header, size, need int, err error) {
	h.Version = v
	if v == V1 {
		size, need, err = h.parseV1(b)
	} else {
		size, need, err = h.parseV2(b)
	}
	return h, size, need, err
}
