package inject

import (
	"fmt"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/pillion-mesh/pillion/internal/inject/rawjson"
)

// Bounds of quantities. The API's parser takes 12 seconds over 1E-10000000, and its integers overflow in silence.
const (
	maxQuantityText = 40
	maxExponent     = 15
)

var maxQuantity = resource.MustParse("1P")

// parseQuantity reads a quantity of 0 or more, and of no more than any machine has.
func parseQuantity(text string) (resource.Quantity, error) {
	trimmed := strings.TrimSpace(text)
	if plainQuantity(trimmed) {
		if q, err := resource.ParseQuantity(trimmed); err == nil && q.Sign() >= 0 && q.Cmp(maxQuantity) <= 0 {
			return q, nil
		}
	}
	return resource.Quantity{}, fmt.Errorf("%q is not a quantity of 0 or more; want one such as 100m or 128Mi", text)
}

func plainQuantity(text string) bool {
	if len(text) > maxQuantityText {
		return false
	}
	at := strings.IndexAny(text, "eE")
	if at < 0 || at == len(text)-1 || text[at+1] == 'i' {
		return true
	}
	exponent, err := strconv.Atoi(text[at+1:])
	return err == nil && exponent >= -maxExponent && exponent <= maxExponent
}

// readQuantities are those of a container or a pod; what is no quantity is the API server's to refuse.
func readQuantities(resources *rawjson.Value) (q quantities) {
	for place, path := range quantityPlaces {
		if value := resources.Get(path[0], path[1]); value != nil {
			if parsed, err := parseQuantity(scalarText(value)); err == nil {
				q[place] = &parsed
			}
		}
	}
	return q
}

// quantityPlaces are where the four stand in JSON.
var quantityPlaces = [4][2]string{{"requests", "cpu"}, {"requests", "memory"}, {"limits", "cpu"}, {"limits", "memory"}}

func resourcesValue(q quantities) *rawjson.Value {
	resources := rawjson.NewObject()
	for _, place := range [4]int{limitCPU, limitMemory, requestCPU, requestMemory} {
		if q[place] != nil {
			resources = withQuantity(resources, place, q[place])
		}
	}
	return resources
}

func withQuantity(resources *rawjson.Value, place int, q *resource.Quantity) *rawjson.Value {
	list, name := quantityPlaces[place][0], quantityPlaces[place][1]
	return resources.With(list, resources.Get(list).With(name, rawjson.NewString(q.String())))
}
