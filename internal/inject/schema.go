package inject

import (
	"slices"

	"github.com/pillion-mesh/pillion/internal/inject/rawjson"
)

// schema is what merging knows of a pod: which lists have keys, and which fields exclude each other. Lists it doesn't
// name are replaced as a whole, objects are merged field by field.
type schema struct {
	fields map[string]*schema
	keys   []string                // of a list: the fields that name an item
	item   *schema                 // of a list: what its items are
	whole  bool                    // of a list: an item of the same key is replaced, not merged
	one    func(field string) bool // of an object: the fields of a union
	each   *schema                 // of an object: what the fields are that aren't named
}

// podSchema is the fixed table of keys. It is the API's own patchMergeKey tags, but for three things: ports are also
// told apart by protocol, env items are replaced, since one without value means the empty one, and unions are unions. A
// probe can't have two handlers, though the API's own merge gives it two; so whoever names one drops the other.
var podSchema = func() *schema {
	security := &schema{fields: map[string]*schema{"seccompProfile": {one: anyField}, "appArmorProfile": {one: anyField}}}
	probe, variable := &schema{one: isHandler}, &schema{one: butName, fields: map[string]*schema{"valueFrom": {one: anyField}}}
	container := &schema{fields: map[string]*schema{
		"env":             {keys: []string{"name"}, item: variable, whole: true},
		"ports":           {keys: []string{"containerPort", "protocol"}},
		"volumeMounts":    {keys: []string{"mountPath"}},
		"volumeDevices":   {keys: []string{"devicePath"}},
		"livenessProbe":   probe,
		"readinessProbe":  probe,
		"startupProbe":    probe,
		"lifecycle":       {fields: map[string]*schema{"preStop": probe, "postStart": probe}},
		"securityContext": security,
	}}
	return &schema{fields: map[string]*schema{
		"spec": {fields: map[string]*schema{
			"containers":                {keys: []string{"name"}, item: container},
			"initContainers":            {keys: []string{"name"}, item: container},
			"ephemeralContainers":       {keys: []string{"name"}, item: container},
			"volumes":                   {keys: []string{"name"}, item: &schema{one: butName}},
			"imagePullSecrets":          {keys: []string{"name"}},
			"hostAliases":               {keys: []string{"ip"}},
			"topologySpreadConstraints": {keys: []string{"topologyKey", "whenUnsatisfiable"}},
			"resourceClaims":            {keys: []string{"name"}},
			"schedulingGates":           {keys: []string{"name"}},
			"securityContext":           security,
		}},
	}}
}()

// isHandler says whether a field of a probe, or of a hook, is what is asked or done.
func isHandler(field string) bool {
	switch field {
	case "exec", "httpGet", "tcpSocket", "grpc", "sleep":
		return true
	}
	return false
}

// butName says whether a field is a volume's source, or what a variable holds: all are, but the name.
func butName(field string) bool { return field != "name" }

// anyField is of unions that are nothing else, and of a type with what belongs to it.
func anyField(string) bool { return true }

var (
	specSchema      = podSchema.field("spec")
	containerSchema = specSchema.field("containers").item
)

func (s *schema) field(name string) *schema {
	if s == nil {
		return nil
	}
	if field, named := s.fields[name]; named {
		return field
	}
	return s.each
}

// podChanges is the schema of what undo.go writes of a pod: lists with keys are objects there.
var podChanges = podSchema.changes()

func (s *schema) changes() *schema {
	switch {
	case s == nil:
		return nil
	case s.keyed():
		return &schema{each: s.item.changes()}
	}
	fields := make(map[string]*schema, len(s.fields))
	for name, field := range s.fields {
		fields[name] = field.changes()
	}
	return &schema{fields: fields, one: s.one}
}

// union says whether a field is one of those that exclude each other.
func (s *schema) union(field string) bool { return s != nil && s.one != nil && s.one(field) }

// settles says whether an object has an answer to its union.
func (s *schema) settles(v *rawjson.Value) bool {
	return s != nil && s.one != nil && slices.ContainsFunc(v.Members(), s.answers)
}

func (s *schema) answers(m rawjson.Member) bool {
	return s.union(m.Key) && m.Value.Kind() != rawjson.Null
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
