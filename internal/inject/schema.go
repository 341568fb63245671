package inject

import "github.com/pillion-mesh/pillion/internal/inject/rawjson"

// schema is what merging knows of a pod: which lists have keys. Lists it doesn't name are replaced as a whole, objects
// are merged field by field.
type schema struct {
	fields map[string]*schema
	keys   []string // of a list: the fields that name an item
	item   *schema  // of a list: what its items are
	whole  bool     // of a list: an item of the same key is replaced, not merged
}

// podSchema is the fixed table of keys. It is the API's own patchMergeKey tags, but for two: ports are also told apart
// by protocol, and env items are replaced, since value and valueFrom exclude each other.
var podSchema = func() *schema {
	container := &schema{fields: map[string]*schema{
		"env":           {keys: []string{"name"}, whole: true},
		"ports":         {keys: []string{"containerPort", "protocol"}},
		"volumeMounts":  {keys: []string{"mountPath"}},
		"volumeDevices": {keys: []string{"devicePath"}},
	}}
	return &schema{fields: map[string]*schema{
		"spec": {fields: map[string]*schema{
			"containers":                {keys: []string{"name"}, item: container},
			"initContainers":            {keys: []string{"name"}, item: container},
			"ephemeralContainers":       {keys: []string{"name"}, item: container},
			"volumes":                   {keys: []string{"name"}},
			"imagePullSecrets":          {keys: []string{"name"}},
			"hostAliases":               {keys: []string{"ip"}},
			"topologySpreadConstraints": {keys: []string{"topologyKey", "whenUnsatisfiable"}},
			"resourceClaims":            {keys: []string{"name"}},
			"schedulingGates":           {keys: []string{"name"}},
		}},
	}}
}()

var containerSchema = podSchema.field("spec").field("containers").item

func (s *schema) field(name string) *schema {
	if s == nil {
		return nil
	}
	return s.fields[name]
}

func (s *schema) keyed() bool { return s != nil && len(s.keys) > 0 }

// itemKey is what names an item of a keyed list; no list has more than two keys.
type itemKey [2]string

func (s *schema) keyOf(item *rawjson.Value) (key itemKey) {
	for i, name := range s.keys {
		key[i] = keyText(item, name)
	}
	return key
}

// keyText is a key's text. A port without protocol is TCP.
func keyText(item *rawjson.Value, key string) string {
	value := item.Get(key)
	switch {
	case value.Kind() == rawjson.String:
		return value.Text()
	case value == nil && key == "protocol":
		return "TCP"
	}
	return value.Raw()
}
