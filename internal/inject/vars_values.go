package inject

import (
	"strconv"

	"github.com/google/cel-go/common/types"

	"github.com/pillion-mesh/pillion/internal/inject/rawjson"
)

// goValue is JSON as CEL takes it. Whole numbers are int, as templates write them.
func goValue(v *rawjson.Value) any {
	switch v.Kind() {
	case rawjson.Bool:
		return v.True()
	case rawjson.String:
		return v.Text()
	case rawjson.Number:
		if n, err := strconv.ParseInt(v.Raw(), 10, 64); err == nil {
			return n
		}
		f, _ := strconv.ParseFloat(v.Raw(), 64)
		return f
	case rawjson.List:
		items := make([]any, v.Len())
		for i, item := range v.Items() {
			items[i] = goValue(item)
		}
		return items
	case rawjson.Object:
		fields := make(map[string]any, len(v.Members()))
		for _, m := range v.Members() {
			fields[m.Key] = goValue(m.Value)
		}
		return fields
	}
	return types.NullValue
}

// valuesOf are spec.values, which Validate has found to be JSON.
func valuesOf(raw []byte) *rawjson.Value {
	values, err := rawjson.Parse(string(raw))
	if err != nil || values.Kind() != rawjson.Object {
		return rawjson.NewObject()
	}
	return values.Freeze()
}
