package inject

import (
	"reflect"
	"strconv"
	"strings"

	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/ext"
	"github.com/google/cel-go/interpreter"

	"github.com/pillion-mesh/pillion/internal/inject/rawjson"
)

// vars are the values of one rendering. It is CEL's activation: names are looked up when an expression needs them.
type vars struct {
	program   *Program
	pod       pod
	namespace Namespace
	owner     Owner
	settings  *settings
	env       []EnvVar
	made      int    // bytes, see spend
	worked    uint64 // CEL's cost, see work
	room      []byte // empty: for the text that is written next
}

// quoted is a string that is JSON, and so much longer with its quotes quoted.
func (v *vars) quoted(text string) *rawjson.Value {
	v.room = rawjson.AppendQuoted(v.room[:0], text)
	quoted := rawjson.NewScalar(rawjson.String, string(v.room))
	v.room = v.room[:0]
	return quoted
}

// variable is one name templates can use. CEL takes dotted names as they are, so each has a type of its own and a
// misspelt one doesn't compile.
type variable struct {
	name    string
	typ     *cel.Type
	fixed   bool                         // doesn't depend on the pod: folded when a template is compiled
	setting bool                         // of the Injector, unless the pod changes it (settings.usual), or of nodes
	get     func(*vars) any              // string, int64, bool, list or map of Go
	json    func(v *vars) *rawjson.Value // its value for a lone placeholder; nil: get's is converted
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

// variableNamed finds a variable by the name CEL has for it; nil if there is none.
func variableNamed(name string) *variable { return declaredVariables[name] }

var declaredVariables = func() map[string]*variable {
	byName := make(map[string]*variable, len(variables))
	for i := range variables {
		byName[declared(variables[i].name)] = &variables[i]
	}
	return byName
}()

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
	return stringList(captureArgs(v.settings.capture, v.settings.statusPort))
}

func stringList(list []string) *rawjson.Value {
	items := make([]*rawjson.Value, len(list))
	for i, s := range list {
		items[i] = rawjson.NewString(s)
	}
	return rawjson.NewList(items...)
}
