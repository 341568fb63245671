package xds

import (
	"strings"

	udpav1 "github.com/cncf/xds/go/udpa/type/v1"
	xdsv3 "github.com/cncf/xds/go/xds/type/v3"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/structpb"
)

// typed is the configuration of an extension: bytes of a message, or the fields of one in a TypedStruct.
type typed struct {
	message string // full name
	raw     []byte
	fields  *structpb.Struct // of a TypedStruct
}

// messageName is the full name of the message a type URL names.
func messageName(url string) string { return url[strings.LastIndexByte(url, '/')+1:] }

// open looks into a TypedStruct, whose inner type decides. One within another is nothing anybody sends.
func (d *decoder) open(a *anypb.Any) typed {
	name := messageName(a.GetTypeUrl())
	switch name {
	case "udpa.type.v1.TypedStruct":
		var s udpav1.TypedStruct
		d.parse(a.GetValue(), &s)
		return typed{message: messageName(s.TypeUrl), fields: orEmpty(s.Value)}
	case "xds.type.v3.TypedStruct":
		var s xdsv3.TypedStruct
		d.parse(a.GetValue(), &s)
		return typed{message: messageName(s.TypeUrl), fields: orEmpty(s.Value)}
	}
	return typed{message: name, raw: a.GetValue()}
}

func orEmpty(s *structpb.Struct) *structpb.Struct {
	if s == nil {
		return &structpb.Struct{}
	}
	return s
}

// into decodes t as the message m.
func (d *decoder) into(t typed, m proto.Message) bool {
	if t.fields == nil {
		return d.parse(t.raw, m)
	}
	text, err := protojson.Marshal(t.fields)
	if err == nil {
		err = d.fromJSON(text, m)
	}
	if err != nil {
		d.fail("not a %s: %s", m.ProtoReflect().Descriptor().FullName(), plain(err))
	}
	return err == nil
}

// fromJSON fills m; fields it doesn't know are counted as one.
func (d *decoder) fromJSON(text []byte, m proto.Message) error {
	if protojson.Unmarshal(text, m) == nil {
		return nil
	}
	proto.Reset(m)
	err := protojson.UnmarshalOptions{DiscardUnknown: true}.Unmarshal(text, m)
	if err == nil {
		d.addUnknown(string(m.ProtoReflect().Descriptor().FullName()), 1)
	}
	return err
}
