package xds

import (
	"slices"
	"sort"
	"strings"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
	"github.com/pillion-mesh/pillion/internal/proxy/format"
)

// maxFormat bounds a format's text in bytes.
const maxFormat = 64 << 10

// format checks a text with %…% operators.
func (d *decoder) format(source string) *config.Format {
	out := &config.Format{Source: d.intern(source), Literal: !strings.Contains(source, "%")}
	switch {
	case len(source) > maxFormat:
		d.fail("format of %d bytes is longer than %d", len(source), maxFormat)
	case !out.Literal:
		if _, err := format.Compile(source); err != nil {
			d.fail("%s", err)
		}
	}
	return out
}

// formatString decodes a SubstitutionFormatString, nil if it isn't set.
func (d *decoder) formatString(f *corev3.SubstitutionFormatString) (out *config.Format) {
	switch s := f.GetFormat().(type) {
	case nil:
		return nil
	case *corev3.SubstitutionFormatString_TextFormat:
		d.in("text_format", func() { out = d.format(s.TextFormat) })
	case *corev3.SubstitutionFormatString_TextFormatSource:
		d.in("text_format_source", func() { out = d.format(string(d.source(s.TextFormatSource))) })
	case *corev3.SubstitutionFormatString_JsonFormat:
		out = &config.Format{}
		d.in("json_format", func() { out.JSON = d.jsonFields(s.JsonFormat) })
	default:
		d.fail("this kind of format is not supported")
		return nil
	}
	out.OmitEmpty = f.GetOmitEmptyValues()
	d.formatters(f.GetFormatters())
	return out
}

// formatters lets those through whose operators are built in.
func (d *decoder) formatters(list []*corev3.TypedExtensionConfig) {
	for i, f := range list {
		name := messageName(f.GetTypedConfig().GetTypeUrl())
		if !slices.Contains(builtinFormatters, name) {
			d.step(segment{"formatters", i, f.GetName()}, func() { d.fail("not supported") })
		}
	}
}

func (d *decoder) jsonFields(s *structpb.Struct) []config.FormatField {
	out := make([]config.FormatField, 0, len(s.GetFields()))
	for key, v := range s.GetFields() {
		field := config.FormatField{Key: d.intern(key)}
		d.in(key, func() { d.jsonField(v, &field) })
		out = append(out, field)
	}
	sort.Slice(out, func(i, j int) bool { return out[i].Key < out[j].Key })
	return out
}

func (d *decoder) jsonField(v *structpb.Value, out *config.FormatField) {
	switch k := v.GetKind().(type) {
	case *structpb.Value_StringValue:
		out.Source = d.format(k.StringValue).Source
	case *structpb.Value_StructValue:
		out.Fields = d.jsonFields(k.StructValue)
	case *structpb.Value_NumberValue, *structpb.Value_BoolValue:
		text, _ := v.MarshalJSON()
		out.Source = d.intern(string(text))
	default:
		d.fail("neither a text nor an object")
	}
}
