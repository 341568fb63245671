package inject

import (
	"errors"
	"fmt"
	"path"
	"reflect"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/pillion-mesh/pillion/internal/inject/rawjson"
	"github.com/pillion-mesh/pillion/internal/istio"
)

// Volumes and mount paths of the built-in sidecar: a test compares them with its template.
var (
	sidecarVolumes = []string{"workload-socket", "workload-certs", "istio-envoy", "istio-data", "istio-podinfo", "istio-token", "istiod-ca-cert", "custom-bootstrap-volume"}
	sidecarMounts  = []string{
		"/var/run/secrets/workload-spiffe-uds", "/var/run/secrets/workload-spiffe-credentials", "/var/run/secrets/istio",
		"/var/run/secrets/tokens", "/var/lib/istio/data", "/etc/istio/proxy", "/etc/istio/pod", "/etc/istio/custom-bootstrap",
	}
)

func setUserVolumes(s *settings, value string) (err error) {
	s.volumes, err = namedItems(value, reflect.TypeFor[corev1.Volume]())
	if err != nil {
		return err
	}
	for i, volume := range s.volumes {
		name := nameOf(volume)
		switch {
		case slices.Contains(sidecarVolumes, name):
			return fmt.Errorf("volume %q is the sidecar's own; choose another name", name)
		case byName(s.volumes[:i], name) != nil:
			return fmt.Errorf("volume %q is there twice; choose another name for one", name)
		}
		if err := oneSource(volume); err != nil {
			return fmt.Errorf("volume %q %w", name, err)
		}
	}
	return nil
}

// oneSource wants to know where a volume is from, as the API server does.
func oneSource(volume *rawjson.Value) error {
	var sources []string
	for _, m := range volume.Members() {
		if m.Key != "name" && m.Value.Kind() != rawjson.Null {
			sources = append(sources, m.Key)
		}
	}
	switch len(sources) {
	case 0:
		return errors.New(`has no source; want one, such as "emptyDir": {}`)
	case 1:
		return nil
	}
	return fmt.Errorf("has %d sources: %s; want one", len(sources), cut(strings.Join(sources, ", "), 60))
}

func setUserMounts(s *settings, value string) (err error) {
	s.mounts, err = namedItems(value, reflect.TypeFor[corev1.VolumeMount]())
	if err != nil {
		return err
	}
	var paths []string
	for _, mount := range s.mounts {
		at, err := mountPath(mount)
		switch {
		case err != nil:
		case slices.Contains(sidecarMounts, at):
			err = fmt.Errorf("%s is the sidecar's own; choose another mountPath", at)
		case slices.Contains(paths, at):
			err = fmt.Errorf("%s is there twice; choose another mountPath", cut(at, 60))
		default:
			err = checkMount(mount)
		}
		if err != nil {
			return fmt.Errorf("mount of %q: %w", nameOf(mount), err)
		}
		paths = append(paths, at)
	}
	return nil
}

// mountPath is where a mount ends up, whatever way its path is written.
func mountPath(mount *rawjson.Value) (string, error) {
	text := mount.Get("mountPath").Text()
	at := path.Clean(text)
	if !path.IsAbs(text) || at == "/" || strings.Contains(at, ":") {
		return "", fmt.Errorf("mountPath is %q; want an absolute path without colons", cut(text, 60))
	}
	return at, nil
}

// checkMount checks the rest of a mount, as the API server does.
func checkMount(mount *rawjson.Value) error {
	for _, field := range [2]string{"subPath", "subPathExpr"} {
		text := mount.Get(field).Text()
		if path.IsAbs(text) || slices.Contains(strings.Split(text, "/"), "..") {
			return fmt.Errorf(`%s is %q; want a path inside the volume, without ".."`, field, cut(text, 60))
		}
	}
	if mount.Get("subPath").Text() != "" && mount.Get("subPathExpr").Text() != "" {
		return errors.New("subPath and subPathExpr are both there; want one of them")
	}
	switch way := mount.Get("mountPropagation").Text(); corev1.MountPropagationMode(way) {
	case "", corev1.MountPropagationNone, corev1.MountPropagationHostToContainer:
		return nil
	case corev1.MountPropagationBidirectional:
		return errors.New("mountPropagation Bidirectional is for privileged containers only; want None or HostToContainer")
	default:
		return fmt.Errorf("mountPropagation is %q; want None or HostToContainer", cut(way, 60))
	}
}

// Bounds of an annotation that holds JSON.
const (
	maxNamedItems  = 64
	maxNamedValues = 4096
)

// namedItems reads a list of objects with names, or a map of them by name, as the API's type has it.
func namedItems(text string, t reflect.Type) ([]*rawjson.Value, error) {
	doc, err := rawjson.ParseUpTo(text, maxNamedValues)
	if err != nil {
		return nil, fmt.Errorf("it is no JSON: %w", err)
	}
	items := doc.Items()
	switch doc.Kind() {
	case rawjson.Object:
		if items, err = byMapKey(doc); err != nil {
			return nil, err
		}
	case rawjson.List:
	default:
		return nil, errors.New(`it is neither a list nor a map; want JSON, such as {"name": {…}}`)
	}
	if len(items) > maxNamedItems {
		return nil, fmt.Errorf("there are %d; want at most %d", len(items), maxNamedItems)
	}
	for i, item := range items {
		at := fmt.Sprintf("[%d]", i)
		if item.Kind() != rawjson.Object {
			return nil, fmt.Errorf("%s is no object", at)
		}
		if len(validation.IsDNS1123Label(nameOf(item))) > 0 {
			return nil, fmt.Errorf("%s: name is %q; want a DNS label, such as certs", at, cut(nameOf(item), 60))
		}
		if err := fits(item, t, at); err != nil {
			return nil, err
		}
	}
	return items, nil
}

func byMapKey(doc *rawjson.Value) (items []*rawjson.Value, err error) {
	for _, m := range doc.Members() {
		if m.Value.Kind() != rawjson.Object {
			return nil, fmt.Errorf("%q is no object", cut(m.Key, 60))
		}
		if m.Value.Has("name") && nameOf(m.Value) != m.Key {
			return nil, fmt.Errorf("%q has another name inside; remove that", cut(m.Key, 60))
		}
		name := rawjson.Member{Key: "name", Value: rawjson.NewString(m.Key)}
		items = append(items, rawjson.NewObject(append([]rawjson.Member{name}, m.Value.With("name", nil).Members()...)...))
	}
	return items, nil
}

// resolveVolumes compares with what the pod has.
func (s *settings) resolveVolumes(pod pod) (faults []Fault) {
	if len(s.volumes)+len(s.mounts) == 0 {
		return nil
	}
	mine := pod.spec.Get("volumes").Items()
	for _, volume := range s.volumes {
		if name := nameOf(volume); byName(mine, name) != nil {
			faults = append(faults, annotationFault(istio.AnnotationUserVolume, pod.annotations.Get(istio.AnnotationUserVolume).Text(),
				fmt.Errorf("the pod has a volume %q; choose another name, or only mount it", name)))
		}
	}
	for _, mount := range s.mounts {
		name := nameOf(mount)
		if byName(mine, name) == nil && byName(s.volumes, name) == nil && !slices.Contains(sidecarVolumes, name) {
			faults = append(faults, annotationFault(istio.AnnotationUserVolumeMount, pod.annotations.Get(istio.AnnotationUserVolumeMount).Text(),
				fmt.Errorf("there is no volume %q; add it to the pod or to %s", name, istio.AnnotationUserVolume)))
		}
	}
	return faults
}
