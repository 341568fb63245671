package inject

import (
	"fmt"
	"slices"
	"strings"

	"github.com/pillion-mesh/pillion/internal/inject/rawjson"
	"github.com/pillion-mesh/pillion/internal/istio"
)

// refusal is an error that is the pod's own fault, found only once it was put together.
type refusal struct{ fault Fault }

func (r *refusal) Error() string { return r.fault.Message }

// checkFit wants the annotations, with ours, to be no larger than the API server takes. It would say "annotations: Too
// long", to people who wrote a short one.
func (a *assembly) checkFit() error {
	annotations := a.metadata.Get("annotations")
	quoted := 0
	for _, m := range annotations.Members() {
		quoted += len(m.Key) + len(m.Value.Raw())
	}
	if quoted <= maxMetadata { // a text is no longer than its JSON
		return nil
	}
	size := textsSize(annotations)
	if size <= maxMetadata {
		return nil
	}
	about := fmt.Sprintf("the pod's annotations would have %d bytes, and the API server takes %d", size, maxMetadata)
	saved := annotations.Get(istio.AnnotationOverrides).Text()
	if len(saved) < size/2 {
		return &refusal{Fault{Field: "metadata.annotations", Message: about + "; remove some, since the injector writes its own too"}}
	}
	return &refusal{Fault{Field: "metadata.annotations[" + istio.AnnotationOverrides + "]", Value: cut(saved, shown),
		Message: fmt.Sprintf("%s of the pod is too large to be saved in annotation %s: %s; make it smaller, or keep what is in it in a ConfigMap",
			ownNames(a.own), istio.AnnotationOverrides, about)}}
}

func ownNames(own containerLists) string {
	var list []string
	for _, c := range slices.Concat(own.init, own.main) {
		list = append(list, nameOf(c))
	}
	return cut(strings.Join(list, ", "), shown)
}

// textsSize is as the API counts: names and values.
func textsSize(texts *rawjson.Value) (size int) {
	for _, m := range texts.Members() {
		size += len(m.Key) + len(m.Value.Text())
	}
	return size
}
