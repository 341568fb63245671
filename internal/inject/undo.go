package inject

import (
	"fmt"
	"strconv"

	"github.com/pillion-mesh/pillion/internal/inject/rawjson"
)

// What an injection changes of what was there already is kept in an annotation, so that it can be taken back. What it
// adds by name is in the status annotation, the containers it merges with ours are in the one for overrides.
//
//	{"rendered": "1f2e3d4c5b6a",               what was added, see standing.go
//	 "places":   {"istio-proxy": 0},           where a container of the overrides stood in its list
//	 "pod":      {"metadata": {"labels": {"security.istio.io/tlsMode": ["istio"]}},
//	              "spec": {"containers": {"app": {"livenessProbe": {"httpGet": {"port": ["15020", 8080]}}}}}}}
//
// A list is a place that changed: what we wrote there (null: nothing), then what was there (missing: nothing).

// maxUndo bounds the annotation: half of what the API allows of all annotations. What the agent is asked (maxProbers)
// fits in with what stands there now.
const maxUndo = 128 << 10

// undo is the annotation's text. The annotations are the pod's before what is told of the injection is written. A pod
// whose injection can't be taken back isn't injected: the next pass would take what we made of it for the user's own.
func (a *assembly) undo(annotations *rawjson.Value) (string, error) {
	u := &undoText{b: a.vars.room}
	u.object(func() {
		u.field("rendered", func() bool { u.b = rawjson.AppendQuoted(u.b, a.standing.digest); return true })
		if places := a.places(); places != nil {
			u.field("places", func() bool { u.b = places.Append(u.b); return true })
		}
		u.field("pod", func() bool { return a.podChanges(u, annotations) })
	})
	a.vars.room = u.b[:0]
	if len(u.b) > maxUndo {
		return "", &refusal{Fault{Field: "metadata.annotations[" + AnnotationUndo + "]", Message: fmt.Sprintf(
			"annotation %q would keep %d bytes of what the injection replaces; want at most %d: give the pod fewer probes, or choose templates that replace less of it",
			AnnotationUndo, len(u.b), maxUndo)}}
	}
	return string(u.b), nil
}

func (a *assembly) podChanges(u *undoText, annotations *rawjson.Value) bool {
	mark, was := len(u.b), a.vars.pod.metadata
	changed := u.object(func() {
		u.field("metadata", func() bool {
			return u.object(func() {
				u.field("labels", func() bool { return u.changes(was.Get("labels"), a.metadata.Get("labels"), nil) })
				u.field("annotations", func() bool { return u.changes(was.Get("annotations"), withoutWritten(annotations), nil) })
			})
		})
		u.field("spec", func() bool { return u.object(func() { a.specChanges(u) }) })
	})
	earlier := a.earlier()
	if earlier == nil {
		return changed
	}
	if now, err := rawjson.Parse(string(u.b[mark:])); err == nil {
		earlier = merge(earlier, now, podChanges) // what somebody else changed since may be changed back
	}
	u.b = earlier.Append(u.b[:mark])
	return true
}

// earlier is what the injection before changed, less what it changed of containers that are gone: pods are copied, and
// what was another's has nothing to say.
func (a *assembly) earlier() *rawjson.Value {
	pod := a.standing.undo.Get("pod")
	spec := pod.Get("spec")
	for _, list := range [2]struct {
		key  string
		here []*rawjson.Value
	}{{"initContainers", a.came.init}, {"containers", a.came.main}} {
		if changes := spec.Get(list.key); changes != nil {
			spec = spec.With(list.key, ofThese(changes, list.here))
			pod = pod.With("spec", spec)
		}
	}
	return pod
}

// ofThese are the changes of these containers; nil if there are none.
func ofThese(changes *rawjson.Value, containers []*rawjson.Value) *rawjson.Value {
	names := placesOf(len(containers), containers, nameOf)
	var members []rawjson.Member
	for _, m := range changes.Members() {
		if names.find(containers, m.Key) >= 0 {
			members = append(members, m)
		}
	}
	if members == nil {
		return nil
	}
	return rawjson.NewObject(members...)
}

// specChanges leaves out the lists that the status annotation takes care of.
func (a *assembly) specChanges(u *undoText) {
	u.fields(a.vars.pod.spec, a.spec, nil, "initContainers", "containers", "volumes", "imagePullSecrets")
	u.field("initContainers", func() bool { return u.containers(a.came.init, a.user.init) })
	u.field("containers", func() bool { return u.containers(a.came.main, a.user.main) })
}

// places are where the user's own istio-proxy and istio-init stood.
func (a *assembly) places() *rawjson.Value {
	if len(a.own.init)+len(a.own.main) == 0 {
		return nil
	}
	var members []rawjson.Member
	for _, list := range [2]struct{ all, own []*rawjson.Value }{{a.vars.pod.initContainers(), a.own.init}, {a.vars.pod.containers(), a.own.main}} {
		for i, c := range list.all {
			if name := nameOf(c); byName(list.own, name) != nil {
				members = append(members, rawjson.Member{Key: name, Value: rawjson.NewScalar(rawjson.Number, strconv.Itoa(i))})
			}
		}
	}
	return rawjson.NewObject(members...)
}
