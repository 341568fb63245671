package http

import "encoding/binary"

// messages counts gRPC messages by the five bytes before each: a flag and a length.
type messages struct {
	head [5]byte
	have int    // of head
	left uint32 // of the message
}

// add counts the messages that begin in piece; which is 0 for the request's, 1 for the answer's.
func (m *messages) add(c *call, piece []byte, which int) {
	if !c.x.GRPC {
		return
	}
	for len(piece) > 0 {
		if m.left > 0 {
			n := min(m.left, uint32(len(piece))) //nolint:gosec // pieces are shorter than 4 GiB
			m.left -= n
			piece = piece[n:]
			continue
		}
		n := copy(m.head[m.have:], piece)
		m.have += n
		piece = piece[n:]
		if m.have == len(m.head) {
			m.have = 0
			m.left = binary.BigEndian.Uint32(m.head[1:])
			c.x.Messages[which]++
		}
	}
}
