package xdsclient

import (
	"strings"

	"google.golang.org/protobuf/encoding/protowire"
)

// NameOf reads the name of a serialised resource, which is field 1 of every type of Envoy's API. It is empty if there is
// none.
func NameOf(value []byte) string {
	for len(value) > 0 {
		number, kind, n := protowire.ConsumeTag(value)
		if n < 0 {
			return ""
		}
		value = value[n:]
		if number == 1 && kind == protowire.BytesType {
			name, n := protowire.ConsumeBytes(value)
			if n < 0 {
				return ""
			}
			return strings.ToValidUTF8(string(name), "�")
		}
		if n = protowire.ConsumeFieldValue(number, kind, value); n < 0 {
			return ""
		}
		value = value[n:]
	}
	return ""
}
