package inject

import (
	"errors"
	"fmt"
	"strings"

	"github.com/pillion-mesh/pillion/api/v1alpha1"
	"github.com/pillion-mesh/pillion/internal/istio"
)

// imageType is which of an image's flavours is wanted, and which annotation says so.
type imageType struct{ name, key, value string }

// debugSuffix ends the tags of images with a shell and tools.
const debugSuffix = "-debug"

func setImage(s *settings, value string) error {
	if err := v1alpha1.Image(value); err != nil {
		return err
	}
	s.image = value
	return nil
}

func setImageType(s *settings, value string) error {
	if value != "default" && value != "debug" {
		return fmt.Errorf("%q is no image type; want default or debug", value)
	}
	s.imageType = imageType{value, istio.AnnotationProxyImageType, value}
	return nil
}

// resolveImage completes a bare name and picks the flavour.
func (s *settings) resolveImage(p *Program) (faults []Fault) {
	if s.image != p.image && !strings.ContainsAny(s.image, "/:@") {
		image, err := beside(p.image, s.image)
		if err != nil {
			return []Fault{annotationFault(istio.AnnotationProxyImage, s.image, err)}
		}
		s.image = image
	}
	if s.imageType.name == "" {
		return nil
	}
	image, err := ofType(s.image, s.imageType.name == "debug")
	if err != nil {
		return []Fault{annotationFault(s.imageType.key, s.imageType.value, err)}
	}
	s.image = image
	return nil
}

// beside is the image of this name in another's registry and folder, with its tag.
func beside(image, name string) (string, error) {
	repository, tag, digest := splitImage(image)
	if digest != "" {
		return "", fmt.Errorf("a bare name takes the tag of the Injector's image, and that has a digest (%s); write the whole reference", image)
	}
	if at := strings.LastIndexByte(repository, '/'); at >= 0 {
		name = repository[:at+1] + name
	}
	if tag != "" {
		name += ":" + tag
	}
	return name, nil
}

// ofType changes a reference's tag to the flavour wanted. A digest names one image, whose flavour nobody knows: the tag
// beside it is what people wrote down for themselves.
func ofType(image string, debug bool) (string, error) {
	repository, tag, digest := splitImage(image)
	plain, isDebug := strings.CutSuffix(tag, debugSuffix)
	switch {
	case isDebug == debug:
		return image, nil
	case digest != "":
		return "", fmt.Errorf("image %s has a digest, which is one image of one type; write the image you want in %s", image, istio.AnnotationProxyImage)
	case tag == "":
		return "", errors.New("image " + image + " has no tag to change; write the image you want in " + istio.AnnotationProxyImage)
	case debug:
		return repository + ":" + tag + debugSuffix, nil
	}
	return repository + ":" + plain, nil
}

func splitImage(image string) (repository, tag, digest string) {
	repository, digest, _ = strings.Cut(image, "@")
	if at := strings.LastIndexByte(repository, ':'); at > strings.LastIndexByte(repository, '/') {
		repository, tag = repository[:at], repository[at+1:]
	}
	return repository, tag, digest
}
