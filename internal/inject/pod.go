package inject

import (
	"fmt"
	"iter"
	"strings"

	"github.com/pillion-mesh/pillion/internal/inject/rawjson"
	"github.com/pillion-mesh/pillion/internal/istio"
)

// pod is the part of a Pod that decisions and templates look at.
type pod struct {
	root, metadata, spec, labels, annotations *rawjson.Value
}

func viewPod(root *rawjson.Value) pod {
	metadata := root.Get("metadata")
	return pod{
		root:        root,
		metadata:    metadata,
		spec:        root.Get("spec"),
		labels:      metadata.Get("labels"),
		annotations: metadata.Get("annotations"),
	}
}

func (p pod) containers() []*rawjson.Value     { return p.spec.Get("containers").Items() }
func (p pod) initContainers() []*rawjson.Value { return p.spec.Get("initContainers").Items() }

// position is where a container is.
type position struct {
	list  string
	index int
}

func (p position) String() string { return fmt.Sprintf("spec.%s[%d]", p.list, p.index) }

// lasting are the containers that run as long as the pod does: init containers too that are restarted.
func (p pod) lasting() iter.Seq2[position, *rawjson.Value] {
	return func(yield func(position, *rawjson.Value) bool) {
		for i, c := range p.containers() {
			if !yield(position{"containers", i}, c) {
				return
			}
		}
		for i, c := range p.initContainers() {
			if c.Get("restartPolicy").Text() == "Always" && !yield(position{"initContainers", i}, c) {
				return
			}
		}
	}
}

func nameOf(container *rawjson.Value) string { return container.Get("name").Text() }

func byName(list []*rawjson.Value, name string) *rawjson.Value {
	for _, item := range list {
		if nameOf(item) == name {
			return item
		}
	}
	return nil
}

// proxy is the user's own istio-proxy, wherever it is declared.
func (p pod) proxy() *rawjson.Value {
	if c := byName(p.containers(), istio.ContainerProxy); c != nil {
		return c
	}
	return byName(p.initContainers(), istio.ContainerProxy)
}

// name of the pod; the one it will be given starts with generateName.
func (p pod) name() string {
	if name := p.metadata.Get("name").Text(); name != "" {
		return name
	}
	return strings.TrimSuffix(p.metadata.Get("generateName").Text(), "-")
}

// owners are the workload behind the pod and the object it names itself. The first: a ReplicaSet made by a Deployment
// counts as the Deployment, a Job made by a CronJob as the CronJob. Both are told by the names their controllers give,
// since no API call is made here. The second has its UID: kubectl describe shows no Events without one.
func (p pod) owners() (workload, reference Owner) {
	if o, found := p.controller(); found {
		return o.Workload(p.labels.Get("pod-template-hash").Text()), o
	}
	return p.itself(), p.uncontrolled()
}

func (p pod) uncontrolled() Owner {
	for _, ref := range p.metadata.Get("ownerReferences").Items() {
		if o := ownerOf(ref); o.UID != "" {
			return o
		}
	}
	return p.itself()
}

func (p pod) controller() (o Owner, found bool) {
	for _, ref := range p.metadata.Get("ownerReferences").Items() {
		if ref.Get("controller").True() {
			return ownerOf(ref), true
		}
	}
	return Owner{}, false
}

func (p pod) itself() Owner {
	return Owner{APIVersion: "v1", Kind: "Pod", Name: p.name(), UID: p.metadata.Get("uid").Text()}
}

func ownerOf(ref *rawjson.Value) Owner {
	return Owner{
		APIVersion: ref.Get("apiVersion").Text(), Kind: ref.Get("kind").Text(),
		Name: ref.Get("name").Text(), UID: ref.Get("uid").Text(),
	}
}

// Workload is the Deployment or CronJob behind an owner that names a ReplicaSet or Job, else the owner.
func (o Owner) Workload(templateHash string) Owner {
	switch o.Kind {
	case "ReplicaSet":
		if name, ok := strings.CutSuffix(o.Name, "-"+templateHash); ok && templateHash != "" {
			return Owner{APIVersion: o.APIVersion, Kind: "Deployment", Name: name}
		}
	case "Job":
		name, minutes, ok := cutLast(o.Name, "-")
		if ok && len(minutes) >= 8 && strings.Trim(minutes, "0123456789") == "" {
			return Owner{APIVersion: o.APIVersion, Kind: "CronJob", Name: name}
		}
	}
	return o
}

func cutLast(s, separator string) (before, after string, found bool) {
	i := strings.LastIndex(s, separator)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+len(separator):], true
}
