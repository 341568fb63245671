package inject

import (
	"fmt"
	"reflect"
	"strconv"

	"github.com/pillion-mesh/pillion/internal/inject/rawjson"
)

// fits says what of a value isn't as the API's type has it; nil if all is. Null fits everything: it is a field left out.
func fits(v *rawjson.Value, t reflect.Type, at string) error {
	t = deref(t)
	switch {
	case v.Kind() == rawjson.Null:
		return nil
	case !isLeaf(t) && (t.Kind() == reflect.Struct || t.Kind() == reflect.Map):
		return fitsObject(v, t, at)
	case t.Kind() == reflect.Slice && t.Elem().Kind() != reflect.Uint8:
		return fitsList(v, t, at)
	case !fitsScalar(v, t):
		return fmt.Errorf("%s wants %s, this is %s", at, typeName(t), cut(v.String(), 60))
	}
	return nil
}

func fitsObject(v *rawjson.Value, t reflect.Type, at string) error {
	if v.Kind() != rawjson.Object {
		return fmt.Errorf("%s wants %s, this is %s", at, typeName(t), cut(v.String(), 60))
	}
	for _, m := range v.Members() {
		field, known := fieldType(t, m.Key)
		if !known {
			message := fmt.Sprintf("%s.%s: unknown field", at, cut(m.Key, 60))
			if near := nearestOf(m.Key, fieldNames(t)); near != "" {
				message += "; did you mean " + near + "?"
			}
			return fmt.Errorf("%s", message)
		}
		if err := fits(m.Value, field, at+"."+cut(m.Key, 60)); err != nil {
			return err
		}
	}
	return nil
}

func fitsList(v *rawjson.Value, t reflect.Type, at string) error {
	if v.Kind() != rawjson.List {
		return fmt.Errorf("%s wants %s, this is %s", at, typeName(t), cut(v.String(), 60))
	}
	for i, item := range v.Items() {
		if err := fits(item, t.Elem(), fmt.Sprintf("%s[%d]", at, i)); err != nil {
			return err
		}
	}
	return nil
}

func fitsScalar(v *rawjson.Value, t reflect.Type) bool {
	switch {
	case t == quantityType:
		_, err := parseQuantity(scalarText(v))
		return err == nil && (v.Kind() == rawjson.String || v.Kind() == rawjson.Number)
	case t == intOrStringType:
		return v.Kind() == rawjson.String || isInteger(v, 32)
	case t == timeType || t.Kind() == reflect.String || t.Kind() == reflect.Slice:
		return v.Kind() == rawjson.String
	case t.Kind() == reflect.Bool:
		return v.Kind() == rawjson.Bool
	case t.Kind() == reflect.Int32:
		return isInteger(v, 32)
	}
	return isInteger(v, 64)
}

func isInteger(v *rawjson.Value, bits int) bool {
	_, err := strconv.ParseInt(v.Raw(), 10, bits)
	return err == nil && v.Kind() == rawjson.Number
}
