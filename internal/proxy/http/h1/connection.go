package h1

import (
	"strings"

	"github.com/pillion-mesh/pillion/internal/proxy/stream"
)

// maxNamed is how many names Connection may hold.
const maxNamed = 9

// connectionOptions reads Connection and removes the fields it names. It refuses to remove what others decide by: a
// client could hide who it is or where the message ends.
func (h *head) connectionOptions(f *stream.Fields) error {
	switch h.connection {
	case "":
		return nil
	case "keep-alive", "Keep-Alive":
		h.keep = true
		return nil
	case "close":
		h.close = true
		return nil
	}
	names := 0
	for option := range strings.SplitSeq(h.connection, ",") {
		option = strings.ToLower(strings.Trim(option, " \t"))
		if option == "" {
			continue
		}
		if names++; names > maxNamed {
			return errConnection
		}
		if err := h.option(f, option); err != nil {
			return err
		}
	}
	return nil
}

func (h *head) option(f *stream.Fields, option string) error {
	switch option {
	case "close":
		h.close = true
	case "keep-alive":
		h.keep = true
	case "upgrade":
		h.upgrading = true
	case "te":
	case "host", "content-length", "authorization", "x-request-id":
		return errConnection
	default:
		if strings.HasPrefix(option, "x-forwarded-") || option[0] == ':' {
			return errConnection
		}
		f.Remove(option)
	}
	return nil
}

// teTrailers keeps the only thing TE may say to the next hop.
func (h *head) teTrailers(f *stream.Fields) {
	if h.te == "" {
		return
	}
	for coding := range strings.SplitSeq(h.te, ",") {
		if strings.EqualFold(strings.Trim(coding, " \t"), "trailers") {
			f.Add("te", "trailers")
			return
		}
	}
}

// persistent reports whether the connection goes on after this message, by what its sender said.
func (h *head) persistent() bool { return !h.close && (h.minor == 1 || h.keep) }
