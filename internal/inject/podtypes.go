package inject

import (
	"fmt"
	"reflect"
	"strings"

	"github.com/google/cel-go/cel"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// podTemplate is what a template may say of a pod: the API's own types, without what only the API server or the
// pod's author can set.
type podTemplate struct {
	APIVersion string           `json:"apiVersion"`
	Kind       string           `json:"kind"`
	Metadata   templateMetadata `json:"metadata"`
	Spec       corev1.PodSpec   `json:"spec"`
}

type templateMetadata struct {
	Labels      map[string]string `json:"labels"`
	Annotations map[string]string `json:"annotations"`
}

var (
	quantityType    = reflect.TypeFor[resource.Quantity]()
	intOrStringType = reflect.TypeFor[intstr.IntOrString]()
	timeType        = reflect.TypeFor[metav1.Time]()
)

func deref(t reflect.Type) reflect.Type {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	return t
}

// fieldType is the type of a struct's field or of a map's values.
func fieldType(t reflect.Type, name string) (reflect.Type, bool) {
	t = deref(t)
	switch {
	case t.Kind() == reflect.Map:
		return deref(t.Elem()), true
	case isLeaf(t) || t.Kind() != reflect.Struct:
		return nil, false
	}
	for f := range t.Fields() {
		tag, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if f.Anonymous && tag == "" {
			if found, ok := fieldType(f.Type, name); ok {
				return found, true
			}
			continue
		}
		if tag == name {
			return deref(f.Type), true
		}
	}
	return nil, false
}

// fieldNames are the names a struct's fields have in JSON.
func fieldNames(t reflect.Type) (names []string) {
	t = deref(t)
	if isLeaf(t) || t.Kind() != reflect.Struct {
		return nil
	}
	for f := range t.Fields() {
		tag, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if f.Anonymous && tag == "" {
			names = append(names, fieldNames(f.Type)...)
		} else if tag != "" && tag != "-" {
			names = append(names, tag)
		}
	}
	return names
}

// isLeaf says whether a struct of the API is a scalar in JSON.
func isLeaf(t reflect.Type) bool {
	return t == quantityType || t == intOrStringType || t == timeType
}

// typeName is a type as messages call it.
func typeName(t reflect.Type) string {
	t = deref(t)
	switch {
	case t == quantityType:
		return "quantity"
	case t == intOrStringType:
		return "integer or string"
	case t == timeType:
		return "time"
	}
	switch t.Kind() {
	case reflect.Struct, reflect.Map:
		return "mapping"
	case reflect.Slice:
		return "list"
	case reflect.Bool:
		return "bool"
	case reflect.String:
		return "string"
	case reflect.Int32, reflect.Int64:
		return "integer"
	}
	return t.String()
}

// assignable says whether an expression's value fits a field.
func assignable(from *cel.Type, to reflect.Type) bool {
	to = deref(to)
	kind := from.Kind()
	switch {
	case dynamic(from):
		return true // values of an Injector: the compiler looks at them (fits), or the corpus
	case to == quantityType:
		return kind == cel.StringKind || kind == cel.IntKind || kind == cel.UintKind || kind == cel.DoubleKind
	case to == intOrStringType:
		return kind == cel.StringKind || kind == cel.IntKind
	case to == timeType:
		return kind == cel.StringKind
	}
	switch to.Kind() {
	case reflect.String:
		return kind == cel.StringKind
	case reflect.Bool:
		return kind == cel.BoolKind
	case reflect.Int32, reflect.Int64:
		return kind == cel.IntKind || kind == cel.UintKind
	case reflect.Slice:
		return kind == cel.ListKind && (dynamic(from.Parameters()[0]) || assignable(from.Parameters()[0], to.Elem()))
	case reflect.Struct, reflect.Map:
		return kind == cel.MapKind && from.Parameters()[0].Kind() == cel.StringKind && assignableMap(from.Parameters()[1], to)
	}
	return false
}

func assignableMap(values *cel.Type, to reflect.Type) bool {
	return dynamic(values) || to.Kind() == reflect.Struct || assignable(values, to.Elem())
}

func dynamic(t *cel.Type) bool { return t.Kind() == cel.DynKind }

// celName is a CEL type as messages call it.
func celName(t *cel.Type) string { return fmt.Sprint(t) }
