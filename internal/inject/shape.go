package inject

import (
	"cmp"
	"errors"
	"fmt"
	"unicode/utf8"

	"github.com/pillion-mesh/pillion/internal/inject/rawjson"
)

// checkShape makes sure that a pod is built as merging takes it to be. API servers send nothing else; files and hostile
// clients may.
func checkShape(root *rawjson.Value) error {
	if err := checkObjects(root); err != nil {
		return err
	}
	return checkLists(root)
}

// checkObjects makes sure of what it takes to decide about a pod.
func checkObjects(root *rawjson.Value) error {
	if root.Kind() != rawjson.Object {
		return errors.New("the pod is no JSON object")
	}
	if !utf8.ValidString(root.Raw()) {
		return errors.New("the pod's text is no UTF-8") // it would come out changed where it is saved and read again
	}
	p := viewPod(root)
	return cmp.Or(
		checkObject(root, ""), checkObject(p.metadata, "metadata"), checkObject(p.spec, "spec"),
		checkTexts(p.labels, "metadata.labels"), checkTexts(p.annotations, "metadata.annotations"))
}

// checkLists checks the lists of a pod's spec. Only an injection looks into them.
func checkLists(root *rawjson.Value) error {
	for _, list := range []string{"containers", "initContainers", "volumes", "imagePullSecrets"} {
		if err := checkNamed(root.Get("spec", list), list); err != nil {
			return err
		}
	}
	if err := checkApart(root.Get("spec", "containers").Items(), root.Get("spec", "initContainers").Items()); err != nil {
		return err
	}
	for _, list := range []string{"containers", "initContainers"} {
		for i, c := range root.Get("spec", list).Items() {
			if err := checkLengths(c); err != nil {
				return fmt.Errorf("spec.%s[%d].%w", list, i, err)
			}
		}
	}
	return nil
}

// checkApart wants the names of both lists to differ, as the API does.
func checkApart(containers, initContainers []*rawjson.Value) error {
	names := placesOf(len(containers), containers, nameOf)
	for i, c := range initContainers {
		if at := names.find(containers, nameOf(c)); at >= 0 {
			return fmt.Errorf("spec.containers[%d] and spec.initContainers[%d] have the same name %q; remove one", at, i, cut(nameOf(c), shown))
		}
	}
	return nil
}

// maxItems bounds each list of a container. A process can't be started with more variables than about this.
const maxItems = 4096

func checkLengths(container *rawjson.Value) error {
	for _, m := range container.Members() {
		if n := m.Value.Len(); n > maxItems {
			return fmt.Errorf("%s has %d items; want at most %d", cut(m.Key, shown), n, maxItems)
		}
	}
	return nil
}

// maxMetadata is what the API allows of annotations, names and values together. Of labels it allows less in practice.
const maxMetadata = 256 << 10

func checkObject(v *rawjson.Value, at string) error {
	if v.Kind() == rawjson.Null {
		return nil
	}
	if v.Kind() != rawjson.Object {
		return fmt.Errorf("%s is no object", at)
	}
	if key, twice := twice(v.Members()); twice {
		return fmt.Errorf("%s has the field %q twice", at, cut(key, shown))
	}
	return nil
}

// checkTexts is for labels and annotations.
func checkTexts(v *rawjson.Value, at string) error {
	size := 0
	for _, m := range v.Members() {
		if m.Value.Kind() != rawjson.String {
			return fmt.Errorf("%s: %q is no string", at, cut(m.Key, shown))
		}
		size += len(m.Key) + len(m.Value.Text())
	}
	if size > maxMetadata {
		return fmt.Errorf("%s have %d bytes in %d entries; want at most %d bytes", at, size, len(v.Members()), maxMetadata)
	}
	return checkObject(v, at)
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

// maxNamed bounds the lists whose items have names. Nodes run nothing near it.
const maxNamed = 2048

// checkNamed wants objects with names of their own, as the API does. (Pull secrets may lack theirs.)
func checkNamed(v *rawjson.Value, list string) error {
	if v.Kind() == rawjson.Null {
		return nil
	}
	if v.Kind() != rawjson.List {
		return fmt.Errorf("spec.%s is no list", list)
	}
	if n := v.Len(); n > maxNamed {
		return fmt.Errorf("spec.%s has %d items; want at most %d", list, n, maxNamed)
	}
	names := placesOf(len(v.Items()), nil, nameOf)
	for i, item := range v.Items() {
		if item.Kind() != rawjson.Object {
			return fmt.Errorf("spec.%s[%d] is no object", list, i)
		}
		name := nameOf(item)
		switch {
		case list == "imagePullSecrets":
		case name == "":
			return fmt.Errorf("spec.%s[%d] has no name", list, i)
		case names.find(v.Items()[:i], name) >= 0:
			return fmt.Errorf("spec.%s has the name %q twice", list, cut(name, shown))
		}
		names.add(name, i)
	}
	return nil
}
