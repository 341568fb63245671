package inject

import (
	"fmt"

	"github.com/pillion-mesh/pillion/internal/inject/rawjson"
)

// unsound finds what the API server wouldn't take and templates get wrong when one is laid over another. It is looked
// for on the test pods, so that an Injector is refused instead of every pod.
func unsound(p pod) error {
	for _, list := range []string{"initContainers", "containers"} {
		for _, c := range p.spec.Get(list).Items() {
			if err := unsoundContainer(c); err != nil {
				return fmt.Errorf("container %q: %w", nameOf(c), err)
			}
		}
	}
	for _, volume := range p.spec.Get("volumes").Items() {
		if n := specSchema.field("volumes").item.count(volume); n > 1 {
			return fmt.Errorf("volume %q has %d sources; want one", nameOf(volume), n)
		}
	}
	return nil
}

// count is how many answers an object has to its union.
func (s *schema) count(v *rawjson.Value) (n int) {
	for _, m := range v.Members() {
		if s.answers(m) {
			n++
		}
	}
	return n
}

func unsoundContainer(c *rawjson.Value) error {
	for i := range questions {
		q := &questions[i]
		probe := c.Get(q.field)
		if q.hook() {
			probe = c.Get(q.under, q.field)
		}
		if n := containerSchema.field("livenessProbe").count(probe); probe.Kind() == rawjson.Object && n != 1 {
			return fmt.Errorf("%s has %d handlers; want one", q.field, n)
		}
	}
	named := make(map[string]bool)
	for _, port := range c.Get("ports").Items() {
		name := nameOf(port)
		if name != "" && named[name] {
			return fmt.Errorf("two ports have the name %q", name)
		}
		named[name] = true
	}
	all := readQuantities(c.Get("resources"))
	for _, pair := range pairs {
		if request, limit := all[pair.request], all[pair.limit]; request != nil && limit != nil && request.Cmp(*limit) > 0 {
			return fmt.Errorf("its %s request %s is above its limit %s", quantityPlaces[pair.request][1], request, limit)
		}
	}
	return nil
}
