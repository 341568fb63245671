package inject

import (
	"strings"

	"github.com/pillion-mesh/pillion/internal/inject/rawjson"
	"github.com/pillion-mesh/pillion/internal/istio"
)

// Labels and annotations an injected pod gets if it has none of the name.
const (
	labelTLSMode           = "security.istio.io/tlsMode"
	labelCanonicalName     = "service.istio.io/canonical-name"
	labelCanonicalRevision = "service.istio.io/canonical-revision"
	labelNetwork           = "topology.istio.io/network"

	annotationDefaultContainer     = "kubectl.kubernetes.io/default-container"
	annotationDefaultLogsContainer = "kubectl.kubernetes.io/default-logs-container"
)

// additions are the names of what an injection adds: the status annotation.
type additions struct{ init, main, volumes, secrets []string }

// names of the rendered containers, by the list they end up in.
func names(rendered containerLists, native bool) (init, main []string) {
	for _, c := range rendered.init {
		init = append(init, nameOf(c))
	}
	for _, c := range rendered.main {
		if native && nameOf(c) == istio.ContainerProxy {
			init = append(init, nameOf(c))
		} else {
			main = append(main, nameOf(c))
		}
	}
	return init, main
}

// status is the status annotation's text, in Istio's shape.
func (a additions) status(revision string) string {
	b := make([]byte, 0, 256)
	for i, list := range [4]struct {
		name  string
		names []string
	}{{"initContainers", a.init}, {"containers", a.main}, {"volumes", a.volumes}, {"imagePullSecrets", a.secrets}} {
		b = append(b, "{,,,"[i])
		b = rawjson.AppendQuoted(b, list.name)
		b = append(b, ':', '[')
		for j, name := range list.names {
			if j > 0 {
				b = append(b, ',')
			}
			b = rawjson.AppendQuoted(b, name)
		}
		b = append(b, ']')
	}
	b = append(b, `,"revision":`...)
	return string(append(rawjson.AppendQuoted(b, revision), '}'))
}

// label adds the labels other meshes' parts look for, where the pod has none.
func (a *assembly) label() {
	labels := a.metadata.Get("labels")
	add := newFields(labels, 4)
	name, version := firstText(labels, "app.kubernetes.io/name", "app"), firstText(labels, "app.kubernetes.io/version", "version")
	if name == nil {
		name = rawjson.NewString(a.vars.owner.Name)
	}
	add.ifAbsent(labelTLSMode, tlsModeIstio)
	add.ifAbsent(labelCanonicalName, canonical(name))
	add.ifAbsent(labelCanonicalRevision, canonical(orValue(version, latest)))
	add.ifAbsent(labelNetwork, a.program.texts.network)
	a.metadata = a.metadata.With("labels", add.object())
}

var tlsModeIstio, latest = rawjson.NewString("istio"), rawjson.NewString("latest")

// firstText is the first of some labels that says something; nil if none does.
func firstText(labels *rawjson.Value, keys ...string) *rawjson.Value {
	for _, key := range keys {
		if value := labels.Get(key); value.Text() != "" {
			return value
		}
	}
	return nil
}

// canonical makes a label value of any name.
func canonical(name *rawjson.Value) *rawjson.Value {
	text := name.Text()
	short := strings.Trim(text[:min(len(text), 63)], "-_.")
	if short == text {
		return name
	}
	return rawjson.NewString(short)
}

// annotate writes down what was done, so that it can be undone, done again and told.
func (a *assembly) annotate(reason Reason) error {
	add := newFields(a.metadata.Get("annotations"), 9)
	for _, c := range a.vars.pod.containers() {
		if nameOf(c) != istio.ContainerProxy {
			add.ifAbsent(annotationDefaultContainer, c.Get("name"))
			add.ifAbsent(annotationDefaultLogsContainer, c.Get("name"))
			break
		}
	}
	undo, err := a.undo(add.object())
	if err != nil {
		return err
	}
	a.added.init, a.added.main = names(a.rendered, a.vars.settings.native)
	add.set(istio.AnnotationStatus, a.vars.quoted(a.added.status(a.program.spec().Revision)))
	if len(a.own.init)+len(a.own.main) > 0 {
		add.set(istio.AnnotationOverrides, a.vars.quoted(overridesOf(a.own)))
	}
	add.set(istio.LabelRevision, a.program.texts.revision)
	add.set(AnnotationInjector, a.program.texts.injector)
	add.set(AnnotationInjectorHash, a.program.texts.hash)
	add.set(AnnotationReason, rawjson.NewString(string(reason)))
	add.set(AnnotationUndo, a.vars.quoted(undo))
	a.metadata = a.metadata.With("annotations", add.object())
	return nil
}

// overridesOf saves the user's containers as they came.
func overridesOf(own containerLists) string {
	var members []rawjson.Member
	if len(own.main) > 0 {
		members = append(members, rawjson.Member{Key: "containers", Value: rawjson.NewList(own.main...)})
	}
	if len(own.init) > 0 {
		members = append(members, rawjson.Member{Key: "initContainers", Value: rawjson.NewList(own.init...)})
	}
	return rawjson.NewObject(members...).String()
}

// fields builds an object with some more fields than another.
type fields struct{ members []rawjson.Member }

func newFields(from *rawjson.Value, more int) *fields {
	f := &fields{members: make([]rawjson.Member, 0, len(from.Members())+more)}
	f.members = append(f.members, from.Members()...)
	return f
}

func (f *fields) at(key string) int {
	for i := range f.members {
		if f.members[i].Key == key {
			return i
		}
	}
	return -1
}

func (f *fields) ifAbsent(key string, value *rawjson.Value) {
	if value.Text() != "" && f.at(key) < 0 {
		f.members = append(f.members, rawjson.Member{Key: key, Value: value})
	}
}

func (f *fields) set(key string, value *rawjson.Value) {
	if i := f.at(key); i >= 0 {
		f.members[i].Value = value
		return
	}
	f.members = append(f.members, rawjson.Member{Key: key, Value: value})
}

// setList sets a list, without making one where there was none.
func (f *fields) setList(key string, list []*rawjson.Value) {
	if len(list) > 0 || f.at(key) >= 0 {
		f.set(key, rawjson.NewList(list...))
	}
}

func (f *fields) object() *rawjson.Value { return rawjson.NewObject(f.members...) }
