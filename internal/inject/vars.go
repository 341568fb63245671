package inject

import (
	"reflect"
	"strconv"
	"strings"

	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/ext"
	"github.com/google/cel-go/interpreter"

	"github.com/pillion-mesh/pillion/api/v1alpha1"
	"github.com/pillion-mesh/pillion/internal/inject/rawjson"
	"github.com/pillion-mesh/pillion/internal/istio"
)

// vars are the values of one rendering. It is CEL's activation: names are looked up when an expression needs them.
type vars struct {
	program   *Program
	pod       pod
	namespace Namespace
	owner     Owner
	settings  *settings
	env       []EnvVar
	made      int // bytes, see spend
}

// variable is one name templates can use. CEL takes dotted names as they are, so each has a type of its own and a
// misspelt one doesn't compile.
type variable struct {
	name  string
	typ   *cel.Type
	fixed bool                         // doesn't depend on the pod: folded when a template is compiled
	get   func(*vars) any              // string, int64, bool, list or map of Go
	json  func(v *vars) *rawjson.Value // nil: get's value is converted
}

// Container is what templates see of a container.
type Container struct {
	Name  string `cel:"name"`
	Image string `cel:"image"`
	Ports []Port `cel:"ports"`
}

// Port is what templates see of a container's port.
type Port struct {
	Name          string `cel:"name"`
	ContainerPort int64  `cel:"containerPort"`
	Protocol      string `cel:"protocol"`
}

var (
	stringMap     = cel.MapType(cel.StringType, cel.StringType)
	containerType = cel.ObjectType("inject.Container")
)

// variables are all there are.
var variables = []variable{
	{name: "pod.name", typ: cel.StringType, get: func(v *vars) any { return v.pod.metadata.Get("name").Text() }},
	{name: "pod.generateName", typ: cel.StringType, get: func(v *vars) any { return v.pod.metadata.Get("generateName").Text() }},
	{name: "pod.labels", typ: stringMap, get: func(v *vars) any { return orEmpty(v.pod.labels.Map()) }},
	{name: "pod.annotations", typ: stringMap, get: func(v *vars) any { return orEmpty(v.pod.annotations.Map()) }},
	{name: "pod.serviceAccountName", typ: cel.StringType, get: func(v *vars) any { return orText(v.pod.spec.Get("serviceAccountName").Text(), "default") }},
	{name: "pod.nodeName", typ: cel.StringType, get: func(v *vars) any { return v.pod.spec.Get("nodeName").Text() }},
	{name: "pod.restartPolicy", typ: cel.StringType, get: func(v *vars) any { return orText(v.pod.spec.Get("restartPolicy").Text(), "Always") }},
	{name: "pod.terminationGracePeriodSeconds", typ: cel.IntType, get: gracePeriod},
	{name: "pod.containers", typ: cel.ListType(containerType), get: func(v *vars) any { return containersOf(v.pod) }},
	{name: "namespace.name", typ: cel.StringType, get: func(v *vars) any { return v.namespace.Name }},
	{name: "namespace.labels", typ: stringMap, get: func(v *vars) any { return orEmpty(v.namespace.Labels) }},
	{name: "namespace.annotations", typ: stringMap, get: func(v *vars) any { return orEmpty(v.namespace.Annotations) }},
	{name: "owner.kind", typ: cel.StringType, get: func(v *vars) any { return v.owner.Kind }},
	{name: "owner.name", typ: cel.StringType, get: func(v *vars) any { return v.owner.Name }},

	{name: "proxy.image", typ: cel.StringType, get: func(v *vars) any { return v.settings.image }},
	{name: "proxy.imagePullPolicy", typ: cel.StringType, fixed: true, get: func(v *vars) any { return string(v.program.spec().Proxy.ImagePullPolicy) }},
	{name: "proxy.logLevel", typ: cel.StringType, fixed: true, get: func(v *vars) any { return v.program.spec().Proxy.LogLevel }},
	{name: "proxy.uid", typ: cel.IntType, fixed: true, get: func(v *vars) any { return v.program.spec().Proxy.UID }},
	{name: "proxy.statusPort", typ: cel.IntType, fixed: true, get: func(*vars) any { return int64(istio.PortStatus) }},
	{name: "proxy.readyPort", typ: cel.IntType, fixed: true, get: func(*vars) any { return int64(istio.PortReady) }},
	{name: "proxy.native", typ: cel.BoolType, get: func(v *vars) any { return v.settings.native }},
	{name: "proxy.resources", typ: cel.MapType(cel.StringType, stringMap), get: func(v *vars) any { return nestedMap(v.settings.resources) },
		json: func(v *vars) *rawjson.Value { return v.settings.resources }},

	{name: "capture.enabled", typ: cel.BoolType, get: func(v *vars) any { return v.settings.capture.Mode != v1alpha1.CaptureNone }},
	{name: "capture.mode", typ: cel.StringType, get: func(v *vars) any { return string(v.settings.capture.Mode) }},
	{name: "capture.args", typ: cel.ListType(cel.StringType), get: func(v *vars) any { return captureArgs(v.settings.capture) },
		json: captureArgsValue},

	{name: "mesh.id", typ: cel.StringType, fixed: true, get: func(v *vars) any { return v.program.op.Mesh.ID }},
	{name: "mesh.trustDomain", typ: cel.StringType, fixed: true, get: func(v *vars) any { return v.program.op.Mesh.TrustDomain }},
	{name: "mesh.clusterID", typ: cel.StringType, fixed: true, get: func(v *vars) any { return v.program.op.Mesh.ClusterID }},
	{name: "mesh.clusterDomain", typ: cel.StringType, fixed: true, get: func(v *vars) any { return v.program.op.Mesh.ClusterDomain }},
	{name: "mesh.network", typ: cel.StringType, fixed: true, get: func(v *vars) any { return v.program.op.Mesh.Network }},
	{name: "mesh.discoveryAddress", typ: cel.StringType, fixed: true, get: func(v *vars) any { return v.program.op.Mesh.DiscoveryAddress }},
	{name: "mesh.caAddress", typ: cel.StringType, fixed: true, get: func(v *vars) any { return v.program.op.Mesh.CAAddress }},
	{name: "injector.name", typ: cel.StringType, fixed: true, get: func(v *vars) any { return v.program.injector.Name }},
	{name: "injector.revision", typ: cel.StringType, fixed: true, get: func(v *vars) any { return v.program.spec().Revision }},
	{name: "injector.hash", typ: cel.StringType, fixed: true, get: func(v *vars) any { return v.program.hash }},
}

// newEnv declares the variables and functions.
func newEnv() (*cel.Env, error) {
	options := []cel.EnvOption{
		cel.OptionalTypes(),
		ext.NativeTypes(reflect.TypeFor[Container](), reflect.TypeFor[Port](), ext.ParseStructTags(true)),
	}
	options = append(options, functions()...)
	for i := range variables {
		options = append(options, cel.Variable(declared(variables[i].name), variables[i].typ))
	}
	return cel.NewEnv(options...)
}

// declared is a variable's name as CEL has it. CEL reserves the word "namespace"; the alias is as long, so that columns
// in its messages hold.
func declared(name string) string {
	if field, ok := strings.CutPrefix(name, "namespace."); ok {
		return "Namespace." + field
	}
	return name
}

// variableNamed finds a variable by the name CEL has for it.
func variableNamed(name string) *variable {
	for i := range variables {
		if declared(variables[i].name) == name {
			return &variables[i]
		}
	}
	return nil
}

// ResolveName implements CEL's activation.
func (v *vars) ResolveName(name string) (any, bool) {
	if known := variableNamed(name); known != nil {
		return known.get(v), true
	}
	return nil, false
}

// Parent implements CEL's activation.
func (v *vars) Parent() interpreter.Activation { return nil }

func orText(text, otherwise string) string {
	if text == "" {
		return otherwise
	}
	return text
}

func orEmpty(m map[string]string) map[string]string {
	if m == nil {
		return map[string]string{}
	}
	return m
}

func gracePeriod(v *vars) any {
	seconds, err := strconv.ParseInt(v.pod.spec.Get("terminationGracePeriodSeconds").Raw(), 10, 64)
	if err != nil {
		return int64(30)
	}
	return seconds
}

func containersOf(p pod) []Container {
	list := []Container{}
	for _, c := range p.containers() {
		view := Container{Name: nameOf(c), Image: c.Get("image").Text(), Ports: []Port{}}
		for _, port := range c.Get("ports").Items() {
			number, _ := strconv.ParseInt(port.Get("containerPort").Raw(), 10, 64)
			view.Ports = append(view.Ports, Port{
				Name: port.Get("name").Text(), ContainerPort: number, Protocol: orText(port.Get("protocol").Text(), "TCP"),
			})
		}
		list = append(list, view)
	}
	return list
}

func nestedMap(v *rawjson.Value) map[string]map[string]string {
	nested := map[string]map[string]string{}
	for _, m := range v.Members() {
		nested[m.Key] = m.Value.Map()
	}
	return nested
}

func captureArgsValue(v *vars) *rawjson.Value {
	if !v.settings.captured {
		return v.program.captureArgs
	}
	return stringList(captureArgs(v.settings.capture))
}

func stringList(list []string) *rawjson.Value {
	items := make([]*rawjson.Value, len(list))
	for i, s := range list {
		items[i] = rawjson.NewString(s)
	}
	return rawjson.NewList(items...)
}
