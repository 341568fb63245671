package inject

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/pillion-mesh/pillion/internal/inject/rawjson"
)

// checkShape makes sure that a pod is built as merging takes it to be. API servers send nothing else; files and hostile
// clients may.
func checkShape(root *rawjson.Value) error {
	if root.Kind() != rawjson.Object {
		return errors.New("the pod is no JSON object")
	}
	if !utf8.ValidString(root.Raw()) {
		return errors.New("the pod's text is no UTF-8") // it would come out changed where it is saved and read again
	}
	for _, path := range [][]string{{}, {"metadata"}, {"spec"}, {"metadata", "labels"}, {"metadata", "annotations"}} {
		if err := checkObject(root.Get(path...), path); err != nil {
			return err
		}
	}
	for _, list := range []string{"containers", "initContainers", "volumes", "imagePullSecrets"} {
		if err := checkNamed(root.Get("spec", list), list); err != nil {
			return err
		}
	}
	return nil
}

func checkObject(v *rawjson.Value, path []string) error {
	if v.Kind() == rawjson.Null {
		return nil
	}
	if v.Kind() != rawjson.Object {
		return fmt.Errorf("%s is no object", strings.Join(path, "."))
	}
	texts := len(path) == 2 // labels and annotations
	for _, m := range v.Members() {
		if texts && m.Value.Kind() != rawjson.String {
			return fmt.Errorf("%s: %q is no string", strings.Join(path, "."), cut(m.Key, shown))
		}
	}
	if key, twice := twice(v.Members()); twice {
		return fmt.Errorf("%s has the field %q twice", strings.Join(path, "."), cut(key, shown))
	}
	return nil
}

// few is up to where comparing each with each is faster than a map.
const few = 32

func twice(members []rawjson.Member) (key string, found bool) {
	if len(members) > few {
		seen := make(map[string]struct{}, len(members))
		for _, m := range members {
			if _, found := seen[m.Key]; found {
				return m.Key, true
			}
			seen[m.Key] = struct{}{}
		}
		return "", false
	}
	for i, m := range members {
		for _, other := range members[:i] {
			if other.Key == m.Key {
				return m.Key, true
			}
		}
	}
	return "", false
}

// maxNamed bounds the lists whose names are compared each with each. Nodes run nothing near it.
const maxNamed = 2048

// checkNamed wants objects with names of their own, as the API does. (Pull secrets may lack theirs.)
func checkNamed(v *rawjson.Value, list string) error {
	if v.Kind() == rawjson.Null {
		return nil
	}
	if v.Kind() != rawjson.List {
		return fmt.Errorf("spec.%s is no list", list)
	}
	for i, item := range v.Items() {
		if i >= maxNamed {
			return fmt.Errorf("spec.%s has more than %d items", list, maxNamed)
		}
		if item.Kind() != rawjson.Object {
			return fmt.Errorf("spec.%s[%d] is no object", list, i)
		}
		name := nameOf(item)
		switch {
		case list == "imagePullSecrets":
		case name == "":
			return fmt.Errorf("spec.%s[%d] has no name", list, i)
		case byName(v.Items()[:i], name) != nil:
			return fmt.Errorf("spec.%s has the name %q twice", list, cut(name, shown))
		}
	}
	return nil
}
