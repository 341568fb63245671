package proxyconfig

import (
	"bytes"
	"encoding/json"
)

// object is a JSON object that keeps its order: people read a name before an address.
type object []member

type member struct {
	key   string
	value any
}

// unwrapUnknown takes messages whose types aren't linked out of their TypedStructs, wherever they were put in, so that
// they're shown as the control plane means them.
func unwrapUnknown(data []byte) ([]byte, error) {
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.UseNumber()
	tree, err := decodeOrdered(decoder)
	if err != nil {
		return nil, err
	}
	return appendOrdered(nil, tree)
}

func decodeOrdered(decoder *json.Decoder) (any, error) {
	token, err := decoder.Token()
	if err != nil {
		return nil, err
	}
	switch token {
	case json.Delim('['):
		list := []any{}
		for decoder.More() {
			value, err := decodeOrdered(decoder)
			if err != nil {
				return nil, err
			}
			list = append(list, value)
		}
		_, err = decoder.Token()
		return list, err
	case json.Delim('{'):
		o := object{}
		for decoder.More() {
			key, err := decoder.Token()
			if err != nil {
				return nil, err
			}
			value, err := decodeOrdered(decoder)
			if err != nil {
				return nil, err
			}
			o = append(o, member{key.(string), value})
		}
		_, err = decoder.Token()
		return o.unwrapped(), err
	}
	return token, nil
}

func (o object) get(key string) any {
	for _, m := range o {
		if m.key == key {
			return m.value
		}
	}
	return nil
}

func (o object) unwrapped() object {
	url, _ := o.get("typeUrl").(string)
	if kind := o.get("@type"); kind != typedStruct && kind != oldTypedStruct || url == "" || linked(url) {
		return o
	}
	inner, _ := o.get("value").(object)
	return append(object{{"@type", url}}, inner...)
}

// appendOrdered writes a tree in its order.
func appendOrdered(out []byte, node any) ([]byte, error) {
	var err error
	switch node := node.(type) {
	case object:
		out = append(out, '{')
		for i, m := range node {
			if out, err = appendLeaf(separated(out, i), m.key); err != nil {
				return nil, err
			}
			if out, err = appendOrdered(append(out, ':'), m.value); err != nil {
				return nil, err
			}
		}
		return append(out, '}'), nil
	case []any:
		out = append(out, '[')
		for i, each := range node {
			if out, err = appendOrdered(separated(out, i), each); err != nil {
				return nil, err
			}
		}
		return append(out, ']'), nil
	}
	return appendLeaf(out, node)
}

func separated(out []byte, i int) []byte {
	if i > 0 {
		out = append(out, ',')
	}
	return out
}

// appendLeaf leaves < and & as they are: they stand in regular expressions.
func appendLeaf(out []byte, value any) ([]byte, error) {
	var leaf bytes.Buffer
	encoder := json.NewEncoder(&leaf)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(value); err != nil {
		return nil, err
	}
	return append(out, bytes.TrimRight(leaf.Bytes(), "\n")...), nil
}
