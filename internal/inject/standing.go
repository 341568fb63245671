package inject

import (
	"crypto/sha256"
	"encoding/hex"
	"strconv"

	"github.com/pillion-mesh/pillion/internal/inject/rawjson"
)

// standing is what an earlier injection left in a pod. API servers call us again when another webhook changed the pod
// after us; then what we added has their changes, and the API server's defaults, and keeps them.
type standing struct {
	pod    pod            // as it came
	undo   *rawjson.Value // the annotation; nil if nothing is there
	digest string         // of what is rendered now
	again  bool           // it is from the same program
	same   bool           // and says what is rendered now
}

func (a *assembly) keepStanding(original, overlay *rawjson.Value) {
	s := &standing{pod: viewPod(original), digest: a.digest(overlay)}
	if isInjected(s.pod.annotations) {
		s.undo, _ = writtenObject(s.pod.annotations, AnnotationUndo)
		s.again = s.pod.annotations.Get(AnnotationInjectorHash).Text() == a.program.hash
		s.same = s.again && s.undo.Get("rendered").Text() == s.digest
	}
	a.standing = s
	if s.again {
		a.rendered = containerLists{init: s.keepContainers(a.rendered.init), main: s.keepContainers(a.rendered.main)}
	}
}

// digest names what is rendered for this pod.
func (a *assembly) digest(overlay *rawjson.Value) string {
	text := a.vars.room[:0]
	text = append(text, a.program.hash...)
	text = strconv.AppendBool(text, a.vars.settings.native)
	text = overlay.Append(text)
	for _, e := range a.vars.env {
		text = rawjson.AppendQuoted(rawjson.AppendQuoted(text, e.Name), e.Value)
	}
	for _, list := range [2][]*rawjson.Value{a.own.init, a.own.main} {
		for _, c := range list {
			text = c.Append(text)
		}
	}
	a.vars.room = text[:0]
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:6])
}

// keep chooses between what stands and what is wanted there. Where we want what we wanted then, all that differs is
// somebody else's will: a policy that took a field away had its reasons.
func (s *standing) keep(standing, wanted *rawjson.Value, schema *schema) *rawjson.Value {
	switch {
	case !s.again || standing == nil:
		return wanted
	case s.same:
		return standing
	}
	return adopt(standing, wanted, schema)
}

func (s *standing) keepContainers(rendered []*rawjson.Value) []*rawjson.Value {
	kept := make([]*rawjson.Value, len(rendered))
	for i, c := range rendered {
		kept[i] = s.keep(s.container(nameOf(c)), c, containerSchema)
	}
	return kept
}

func (s *standing) container(name string) *rawjson.Value {
	if c := byName(s.pod.initContainers(), name); c != nil {
		return c
	}
	return byName(s.pod.containers(), name)
}

// keepSpec does the same for the rest of a spec: merged is the pod's with the overlay.
func (s *standing) keepSpec(merged, overlay *rawjson.Value) *rawjson.Value {
	if !s.again {
		return merged
	}
	for _, m := range overlay.Members() {
		value := merged.Get(m.Key)
		if m.Key == "volumes" || m.Key == "imagePullSecrets" {
			value = s.keepNamed(s.pod.spec.Get(m.Key), value, specSchema.field(m.Key).item)
		} else {
			value = s.keep(s.pod.spec.Get(m.Key), value, nil)
		}
		merged = merged.With(m.Key, value)
	}
	return merged
}

// keepNamed keeps the standing order too, since it means nothing and nothing is to be moved for nothing.
func (s *standing) keepNamed(standing, wanted *rawjson.Value, itemSchema *schema) *rawjson.Value {
	then, now := standing.Items(), wanted.Items()
	if !namedApart(then) || !namedApart(now) {
		return wanted
	}
	items := make([]*rawjson.Value, 0, len(now))
	for _, item := range then {
		if kept := byName(now, nameOf(item)); kept != nil {
			items = append(items, s.keep(item, kept, itemSchema))
		}
	}
	for _, item := range now {
		if byName(then, nameOf(item)) == nil {
			items = append(items, item)
		}
	}
	return rawjson.NewList(items...)
}

// namedApart says whether all items have names of their own; pull secrets may lack them.
func namedApart(items []*rawjson.Value) bool {
	seen := make(map[string]bool, len(items))
	for _, item := range items {
		name := nameOf(item)
		if name == "" || seen[name] {
			return false
		}
		seen[name] = true
	}
	return true
}
