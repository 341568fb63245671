package proxyconfig

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"sigs.k8s.io/yaml"
)

// indent is istioctl's.
const indent = "    "

// writeMessages prints messages as a list, in Envoy's own field names of JSON, as json or yaml.
func writeMessages[M proto.Message](w io.Writer, list []M, format string) error {
	all := make([]json.RawMessage, len(list))
	for i, m := range list {
		data, err := protojson.Marshal(m)
		if err != nil {
			return fmt.Errorf("encoding %s: %w", m.ProtoReflect().Descriptor().FullName(), err)
		}
		all[i] = data
	}
	data, err := json.Marshal(all)
	if err != nil {
		return fmt.Errorf("encoding the answer: %w", err)
	}
	return writeJSON(w, data, format)
}

func writeMessage(w io.Writer, m proto.Message, format string) error {
	data, err := protojson.Marshal(m)
	if err != nil {
		return fmt.Errorf("encoding %s: %w", m.ProtoReflect().Descriptor().FullName(), err)
	}
	return writeJSON(w, data, format)
}

// writeJSON lays data out anew: protojson's own layout differs from build to build on purpose.
func writeJSON(w io.Writer, data []byte, format string) error {
	data, err := unwrapUnknown(data)
	if err != nil {
		return fmt.Errorf("encoding the answer: %w", err)
	}
	var out bytes.Buffer
	if err := json.Indent(&out, data, "", indent); err != nil {
		return fmt.Errorf("encoding the answer: %w", err)
	}
	out.WriteByte('\n')
	if format == "yaml" {
		text, err := yaml.JSONToYAML(out.Bytes())
		if err != nil {
			return fmt.Errorf("encoding the answer: %w", err)
		}
		_, err = w.Write(text)
		return err
	}
	_, err = out.WriteTo(w)
	return err
}
