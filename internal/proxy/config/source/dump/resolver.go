package dump

import (
	"fmt"
	"strings"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
)

const anyName = "google.protobuf.Any"

// resolver finds the types that are linked in, and for others a type without fields: an optional filter that this proxy
// skips has its "@type" in the dump and must not cost the whole dump.
type resolver struct{}

// FindMessageByName finds a message type.
func (resolver) FindMessageByName(name protoreflect.FullName) (protoreflect.MessageType, error) {
	if t, err := protoregistry.GlobalTypes.FindMessageByName(name); err == nil {
		return t, nil
	}
	return empty(name)
}

// FindMessageByURL finds a message type by the type URL of an Any.
func (r resolver) FindMessageByURL(url string) (protoreflect.MessageType, error) {
	return r.FindMessageByName(protoreflect.FullName(url[strings.LastIndexByte(url, '/')+1:]))
}

// FindExtensionByName finds an extension that is linked in.
func (resolver) FindExtensionByName(name protoreflect.FullName) (protoreflect.ExtensionType, error) {
	return protoregistry.GlobalTypes.FindExtensionByName(name)
}

// FindExtensionByNumber finds an extension that is linked in.
func (resolver) FindExtensionByNumber(m protoreflect.FullName, n protoreflect.FieldNumber) (protoreflect.ExtensionType, error) {
	return protoregistry.GlobalTypes.FindExtensionByNumber(m, n)
}

// empty is a message type without fields. Nobody sees its own name: JSON has that of the Any.
func empty(name protoreflect.FullName) (protoreflect.MessageType, error) {
	if !name.IsValid() {
		return nil, fmt.Errorf("%q is no name of a message", name)
	}
	return (&corev3.AggregatedConfigSource{}).ProtoReflect().Type(), nil
}
