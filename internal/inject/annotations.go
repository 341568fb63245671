package inject

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/pillion-mesh/pillion/api/v1alpha1"
	"github.com/pillion-mesh/pillion/internal/inject/rawjson"
	"github.com/pillion-mesh/pillion/internal/istio"
)

// Annotations only Pillion has.
const (
	AnnotationInjector      = "pillion.dev/injector"
	AnnotationInjectorHash  = "pillion.dev/injector-hash"
	AnnotationReason        = "pillion.dev/injection-reason"
	AnnotationUndo          = "pillion.dev/undo"
	AnnotationAllowProxyUID = "pillion.dev/allow-proxy-uid"
)

// Annotation is one row of the table of annotations: what users may write, and what becomes of it.
type Annotation struct {
	Key  string
	Want string // what a value must be, in a few words
	Doc  string
	set  func(s *settings, value string) error // nil: read elsewhere, or written by us
}

// Annotations are all annotations Pillion reads or writes on pods. Validation, "did you mean" and the documentation
// come from this table.
func Annotations() []Annotation { return annotations }

var annotations = []Annotation{
	{istio.LabelInject, "true, enabled, false or disabled", "whether to inject; deprecated, use the label of this name, which webhooks can see", nil},
	{istio.AnnotationTemplates, "template names, separated by commas", "the templates to render, in this order, in place of defaultTemplates", setTemplates},
	{istio.AnnotationProxyImage, "an image reference", "image of istio-init and istio-proxy", setImage},
	{istio.AnnotationProxyCPU, "a quantity of 0 or more", "CPU request of istio-proxy", setQuantity(requestCPU)},
	{istio.AnnotationProxyMemory, "a quantity of 0 or more", "memory request of istio-proxy", setQuantity(requestMemory)},
	{istio.AnnotationProxyCPULimit, "a quantity of 0 or more", "CPU limit of istio-proxy; 0 removes it", setQuantity(limitCPU)},
	{istio.AnnotationProxyMemoryLimit, "a quantity of 0 or more", "memory limit of istio-proxy; 0 removes it", setQuantity(limitMemory)},
	{istio.AnnotationInterceptionMode, "REDIRECT or NONE", "how traffic reaches the proxy; NONE: no istio-init", setMode},
	{istio.AnnotationIncludeOutboundIPRanges, "* or CIDRs", "outbound addresses to capture", setList(v1alpha1.CIDRsOrAll, func(c *Capture) *string { return &c.IncludeOutboundIPRanges })},
	{istio.AnnotationExcludeOutboundIPRanges, "CIDRs", "outbound addresses to leave alone", setList(v1alpha1.CIDRs, func(c *Capture) *string { return &c.ExcludeOutboundIPRanges })},
	{istio.AnnotationIncludeInboundPorts, "* or ports", "inbound ports to capture", setList(v1alpha1.PortsOrAll, func(c *Capture) *string { return &c.IncludeInboundPorts })},
	{istio.AnnotationExcludeInboundPorts, "ports", "inbound ports to leave alone; the sidecar's own always are", setList(v1alpha1.Ports, func(c *Capture) *string { return &c.ExcludeInboundPorts })},
	{istio.AnnotationIncludeOutboundPorts, "ports", "outbound ports to capture whatever the address", setList(v1alpha1.Ports, func(c *Capture) *string { return &c.IncludeOutboundPorts })},
	{istio.AnnotationExcludeOutboundPorts, "ports", "outbound ports to leave alone", setList(v1alpha1.Ports, func(c *Capture) *string { return &c.ExcludeOutboundPorts })},
	{istio.AnnotationNativeSidecar, "true or false", "whether istio-proxy is an init container with restartPolicy Always", setNative},
	{AnnotationAllowProxyUID, "true or false", "let an application run as the proxy's user; its traffic isn't captured", setAllowProxyUID},
	{istio.AnnotationStatus, "written by the injector", "what was added to the pod", nil},
	{istio.AnnotationOverrides, "written by the injector", "the user's own containers that were merged into the sidecar's", nil},
	{istio.LabelRevision, "written by the injector", "the revision that injected; as a label it selects one", nil},
	{AnnotationInjector, "written by the injector", "the Injector that injected", nil},
	{AnnotationInjectorHash, "written by the injector", "what that Injector was at the time", nil},
	{AnnotationReason, "written by the injector", "why the pod was injected", nil},
	{AnnotationUndo, "written by the injector", "what was changed of the pod, for taking it back", nil},
}

// prefixes under which every key should be one of the table.
var prefixes = []string{"sidecar.istio.io/", "traffic.sidecar.istio.io/", "inject.istio.io/", "pillion.dev/"}

// The resource annotations, and their places in settings.quantities.
const (
	requestCPU = iota
	requestMemory
	limitCPU
	limitMemory
)

var quantityKeys = [4]string{istio.AnnotationProxyCPU, istio.AnnotationProxyMemory, istio.AnnotationProxyCPULimit, istio.AnnotationProxyMemoryLimit}

// apply reads a pod's annotations into s and returns every fault, in the table's order.
func (s *settings) apply(pod *rawjson.Value) (faults []Fault) {
	if len(pod.Members()) == 0 {
		return nil
	}
	for i := range annotations {
		a := &annotations[i]
		value := pod.Get(a.Key)
		if a.set == nil || value == nil {
			continue
		}
		text := value.Text()
		if err := a.set(s, text); err != nil {
			faults = append(faults, annotationFault(a.Key, text, err))
		}
	}
	s.warnings = append(s.warnings, unknownKeys(pod)...)
	return faults
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

func setTemplates(s *settings, value string) error {
	var names []string
	for name := range strings.SplitSeq(value, ",") {
		if name = strings.TrimSpace(name); name != "" {
			names = append(names, name)
		}
	}
	if len(names) == 0 || len(names) > 8 {
		return errors.New("want 1 to 8 template names, separated by commas")
	}
	s.templates = names
	return nil
}

func setImage(s *settings, value string) error {
	if err := v1alpha1.Image(value); err != nil {
		return err
	}
	s.image = value
	return nil
}

func setQuantity(place int) func(*settings, string) error {
	return func(s *settings, value string) error {
		q, err := resource.ParseQuantity(strings.TrimSpace(value))
		if err != nil || q.Sign() < 0 {
			return fmt.Errorf("%q is not a quantity of 0 or more; want one such as 100m or 128Mi", value)
		}
		s.quantities[place] = &q
		return nil
	}
}

func setMode(s *settings, value string) error {
	switch mode := v1alpha1.CaptureMode(value); mode {
	case v1alpha1.CaptureRedirect, v1alpha1.CaptureNone:
		s.captured = s.captured || mode != s.capture.Mode
		s.capture.Mode = mode
		return nil
	case "TPROXY":
		return errors.New("TPROXY is not supported yet; want REDIRECT or NONE")
	}
	return fmt.Errorf("%q is not an interception mode; want REDIRECT or NONE", value)
}

func setList(check func(string) (string, error), field func(*Capture) *string) func(*settings, string) error {
	return func(s *settings, value string) error {
		clean, err := check(value)
		if err != nil {
			return err
		}
		*field(&s.capture) = clean
		s.captured = true
		return nil
	}
}

func setNative(s *settings, value string) error { return setBool(&s.native, value) }

func setAllowProxyUID(s *settings, value string) error { return setBool(&s.allowProxyUID, value) }

func setBool(field *bool, value string) error {
	b, err := strconv.ParseBool(value)
	if err != nil {
		return fmt.Errorf("%q is not a boolean; want true or false", value)
	}
	*field = b
	return nil
}
