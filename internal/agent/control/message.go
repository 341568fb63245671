// Package control is the conversation between the agent and a child on file descriptor 3: a SOCK_SEQPACKET socket pair,
// one JSON message a packet, listening sockets passed by SCM_RIGHTS. Read message.go for what is said, conn.go for how
// it travels, child.go for the child's part; the agent's part is its supervisor. It is a leaf.
//
//	child → agent   HELLO            READY   ACCEPTING   BEAT each second   LISTEN            RELEASE
//	agent → child         SOCKETS   ACCEPT              DRAIN   SET                SOCKETS
package control

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"strings"
)

// Bounds of one message.
const (
	MaxBytes   = 32 << 10
	MaxSockets = 64
)

// FD is the descriptor a child finds its end at.
const FD = 3

// Type names a message.
type Type string

// Messages of the child.
const (
	Hello     Type = "HELLO"     // first: Epoch, PID, Version
	Ready     Type = "READY"     // warm: it could accept now
	Accepting Type = "ACCEPTING" // its accept loops run
	Beat      Type = "BEAT"      // each second, more often while draining, at once with Proofs: Active, Draining
)

// Messages of the child about sockets its configuration asks for. The agent opens them and keeps them over the child's
// death; those it has are among the SOCKETS of the next child, called by BindName.
const (
	Listen  Type = "LISTEN"  // Address; the answer is SOCKETS with the same Address
	Release Type = "RELEASE" // Address: its socket isn't wanted any more
)

// BindName is what a socket that LISTEN asked for is called in SOCKETS; AddressOf is the way back.
func BindName(address netip.AddrPort) string { return bindPrefix + address.String() }

const bindPrefix = "bind/"

// AddressOf returns the address of a socket by its name, false if nobody asked for it by LISTEN.
func AddressOf(name string) (netip.AddrPort, bool) {
	text, is := strings.CutPrefix(name, bindPrefix)
	if !is {
		return netip.AddrPort{}, false
	}
	address, err := netip.ParseAddrPort(text)
	return address, err == nil
}

// Messages of the agent.
const (
	Sockets Type = "SOCKETS" // Sockets, and as many descriptors; with Address the answer to LISTEN
	Accept  Type = "ACCEPT"
	Drain   Type = "DRAIN" // DeadlineMillis, InboundOnly
	Set     Type = "SET"   // MemoryLimit
)

// Message is one packet. Which fields count is said at the types.
type Message struct {
	Type    Type   `json:"type"`
	Epoch   int    `json:"epoch,omitempty"`
	PID     int    `json:"pid,omitempty"`
	Version string `json:"version,omitempty"`
	// Active is the number of application connections the child carries.
	Active int `json:"active,omitempty"`
	// Draining says that the BEAT was counted after DRAIN.
	Draining bool `json:"draining,omitempty"`
	// Proofs are nonces that came through capture since the last BEAT.
	Proofs []Proof `json:"proofs,omitempty"`
	// Sockets are the names of the descriptors that come with the message, in their order.
	Sockets []string `json:"sockets,omitempty"`
	// Address is IP:port. In SOCKETS it says which LISTEN this answers; Error then says why there is no socket.
	Address string `json:"address,omitempty"`
	Error   string `json:"error,omitempty"`
	// DeadlineMillis is how long the child has from now; 0 means without end.
	DeadlineMillis int64 `json:"deadline_ms,omitempty"`
	InboundOnly    bool  `json:"inbound_only,omitempty"`
	// MemoryLimit is Go's soft limit in bytes.
	MemoryLimit int64 `json:"memory_limit,omitempty"`
}

// Proof is a nonce, and the original destination of the connection it came by.
type Proof struct {
	Nonce       []byte         `json:"nonce"`
	Destination netip.AddrPort `json:"destination"`
}

// Encode returns the packet of m.
func Encode(m Message) ([]byte, error) {
	if err := m.validate(); err != nil {
		return nil, err
	}
	packet, err := json.Marshal(m)
	if err != nil {
		return nil, fmt.Errorf("encoding %s: %w", m.Type, err)
	}
	if len(packet) > MaxBytes {
		return nil, fmt.Errorf("encoding %s: %d bytes are more than the %d of a message", m.Type, len(packet), MaxBytes)
	}
	return packet, nil
}

// Decode reads a packet. Unknown fields are ignored, so that versions may differ; unknown types are for the caller.
func Decode(packet []byte) (Message, error) {
	if len(packet) > MaxBytes {
		return Message{}, fmt.Errorf("a control message of %d bytes is longer than %d", len(packet), MaxBytes)
	}
	var m Message
	if err := json.Unmarshal(packet, &m); err != nil {
		return Message{}, fmt.Errorf("reading a control message: %w", err)
	}
	return m, m.validate()
}

func (m Message) validate() error {
	switch {
	case m.Type == "":
		return fmt.Errorf("a control message has no type")
	case m.Epoch < 0, m.PID < 0, m.Active < 0, m.DeadlineMillis < 0, m.MemoryLimit < 0:
		return fmt.Errorf("control message %q: a number is below zero", m.Type)
	case m.Address != "" && !valid(m.Address):
		return fmt.Errorf("control message %q: the address %q is not IP:port", m.Type, m.Address)
	case len(m.Sockets) > MaxSockets:
		return fmt.Errorf("control message %q: %d sockets are more than %d", m.Type, len(m.Sockets), MaxSockets)
	}
	seen := make(map[string]bool, len(m.Sockets))
	for _, name := range m.Sockets {
		if seen[name] || strings.TrimSpace(name) == "" {
			return fmt.Errorf("control message %q: the socket name %q is empty or there twice", m.Type, name)
		}
		seen[name] = true
	}
	return nil
}

func valid(address string) bool {
	_, err := netip.ParseAddrPort(address)
	return err == nil
}
