package socket

import (
	"encoding/binary"
	"fmt"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// Ask sends one request, which must want a list (netlink.Dump) or an acknowledgement, and returns what is answered until
// then. What the kernel refuses comes back as its unix.Errno.
func (s *Socket) Ask(kind netlink.HeaderType, flags netlink.HeaderFlags, data []byte) ([]netlink.Message, error) {
	s.asked++
	request := netlink.Message{
		Header: netlink.Header{Length: uint32(header + len(data)), Type: kind, Flags: netlink.Request | flags, Sequence: s.asked},
		Data:   data,
	}
	if err := s.Send(request); err != nil {
		return nil, err
	}
	var all []netlink.Message
	for {
		answers, err := s.Receive()
		if err != nil {
			return nil, err
		}
		for _, m := range answers {
			if m.Header.Sequence != s.asked {
				return nil, fmt.Errorf("an answer to request %d, not to %d", m.Header.Sequence, s.asked)
			}
			if m.Header.Type == netlink.Done || m.Header.Type == netlink.Error {
				return all, status(m.Data)
			}
			all = append(all, m)
		}
	}
}

// status is what an answer ends with: 0, or an error's number with a minus in front.
func status(data []byte) error {
	if len(data) < 4 {
		return nil // an empty list may end with nothing
	}
	if number := int32(binary.NativeEndian.Uint32(data)); number < 0 {
		return unix.Errno(-number)
	}
	return nil
}
