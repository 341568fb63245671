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
