package inject

import (
	"fmt"
	"slices"
	"strings"

	"github.com/pillion-mesh/pillion/internal/inject/rawjson"
)

// Annotations only Pillion has.
const (
	AnnotationInjector      = "pillion.dev/injector"
	AnnotationInjectorHash  = "pillion.dev/injector-hash"
	AnnotationReason        = "pillion.dev/injection-reason"
	AnnotationUndo          = "pillion.dev/undo"
	AnnotationPrometheus    = "pillion.dev/prometheus"
	AnnotationAllowProxyUID = "pillion.dev/allow-proxy-uid"
	AnnotationEvict         = "pillion.dev/evict"
	AnnotationPodResources  = "pillion.dev/pod-resources"

	AnnotationExcludeOutboundUIDs    = "pillion.dev/exclude-outbound-uids"
	AnnotationExcludeInboundIPRanges = "pillion.dev/exclude-inbound-ip-ranges"
	AnnotationCaptureDNS             = "pillion.dev/capture-dns"
	AnnotationCaptureBackend         = "pillion.dev/capture-backend"
	AnnotationCaptureIPFamilies      = "pillion.dev/capture-ip-families"
	AnnotationDNSForward             = "pillion.dev/dns-forward"
)

// Annotation is one row of the table of annotations and labels: what users may write on a pod, or what we do, and what
// becomes of it.
type Annotation struct {
	Key     string
	Label   bool // a label; the others are annotations
	Group   Group
	Type    string // what a value must be: one of the types the reference explains, or a few words
	Default string // "I": what the Injector says
	Doc     string // the effect, in a sentence
	Example string
	Instead string // of a deprecated one: what to use

	set func(s *settings, value string) error // nil: read elsewhere, or written by us
}

// Annotations are all rows, in the order in which they take effect: what comes later wins.
func Annotations() []Annotation { return slices.Clone(annotations) }

// rows finds an annotation's place in the table: a pod has few, and the table is long.
var rows = func() map[string]int {
	index := make(map[string]int, len(annotations))
	for i := range annotations {
		if !annotations[i].Label {
			index[annotations[i].Key] = i
		}
	}
	return index
}()

// apply reads a pod's annotations into s and returns every fault. Both go in the table's order.
func (s *settings) apply(pod *rawjson.Value) (faults []Fault) {
	type found struct {
		row  int
		text string
	}
	var few [8]found
	list, unknown := few[:0], []string(nil)
	for _, m := range pod.Members() {
		if row, known := rows[m.Key]; known {
			list = append(list, found{row, m.Value.Text()})
		} else if len(unknown) < maxUnknown && looksOurs(m.Key) {
			unknown = append(unknown, m.Key)
		}
	}
	slices.SortFunc(list, func(a, b found) int { return a.row - b.row })
	for _, f := range list {
		if err := annotations[f.row].apply(s, f.text); err != nil {
			faults = append(faults, annotationFault(annotations[f.row].Key, f.text, err))
		}
	}
	for _, key := range unknown {
		s.warnUnknown(key)
	}
	return faults
}

func (a *Annotation) apply(s *settings, value string) error {
	switch {
	case a.Group == GroupNoEffect:
		s.warn("annotation %q has no effect here", a.Key)
	case a.Instead != "":
		s.warn("annotation %q is deprecated; use %s", a.Key, a.Instead)
	}
	if a.set == nil {
		return nil
	}
	s.changed = true
	return a.set(s, value)
}

// shown bounds a value in a message; an annotation may be 256 KiB long.
const shown = 200

func annotationFault(key, value string, err error) Fault {
	if len(value) > shown {
		value = strings.ToValidUTF8(value[:shown], "") + "…"
	}
	return Fault{
		Field:   "metadata.annotations[" + key + "]",
		Value:   value,
		Message: fmt.Sprintf("annotation %q = %q: %s", key, value, cut(err.Error(), 2*shown)),
	}
}
