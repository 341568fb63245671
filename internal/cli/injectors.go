package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/pillion-mesh/pillion/api/v1alpha1"
	"github.com/pillion-mesh/pillion/internal/controller/injector"
	"github.com/pillion-mesh/pillion/internal/inject"
)

// ReadInjectors reads every Injector of a YAML or JSON file, with defaults set and validated. Templates from ConfigMaps
// get their text from the same file, where it stands for the operator's namespace. Other kinds are passed over, so that
// a folder's worth of manifests can be given as it is.
func ReadInjectors(file []byte, namespace string) ([]v1alpha1.Injector, error) {
	var injectors []v1alpha1.Injector
	maps := configMaps{namespace: namespace}
	for i, document := range splitYAML(file) {
		var head struct{ Kind string }
		if err := yaml.Unmarshal(document, &head); err != nil {
			return nil, fmt.Errorf("document %d: %w", i+1, err)
		}
		var err error
		switch head.Kind {
		case "Injector":
			injectors, err = appendInjector(injectors, document)
		case "ConfigMap":
			err = maps.add(document)
		}
		if err != nil {
			return nil, fmt.Errorf("document %d: %w", i+1, err)
		}
	}
	if len(injectors) == 0 {
		return nil, fmt.Errorf("no Injector in it; want at least one document of kind Injector, apiVersion %s", v1alpha1.GroupVersion)
	}
	for i := range injectors {
		if err := resolve(context.Background(), &injectors[i], &maps); err != nil {
			return nil, fmt.Errorf("%w\n  try: put the ConfigMap into the same file, with namespace %s or none", err, namespace)
		}
	}
	return injectors, nil
}

func appendInjector(injectors []v1alpha1.Injector, document []byte) ([]v1alpha1.Injector, error) {
	var inj v1alpha1.Injector
	err := yaml.UnmarshalStrict(document, &inj)
	if err == nil {
		v1alpha1.SetDefaults(&inj)
		err = v1alpha1.Validate(&inj).ToAggregate()
	}
	if err != nil {
		return nil, fmt.Errorf("injector %q: %w", inj.Name, err)
	}
	return append(injectors, inj), nil
}

// resolve puts the texts of ConfigMaps into an Injector as the operator does.
func resolve(ctx context.Context, inj *v1alpha1.Injector, maps *configMaps) error {
	faults, err := injector.Sources{Live: maps, Namespace: maps.namespace}.Resolve(ctx, inj)
	if err == nil && len(faults) > 0 {
		err = &inject.CompileError{Injector: inj.Name, Templates: faults}
	}
	return err
}

// configMaps are those of a file: a client for nothing else. One without a namespace counts for the operator's.
type configMaps struct {
	client.Reader
	namespace string
	all       []corev1.ConfigMap
}

func (m *configMaps) add(document []byte) error {
	var cm corev1.ConfigMap
	if err := yaml.Unmarshal(document, &cm); err != nil {
		return fmt.Errorf("configmap %q: %w", cm.Name, err)
	}
	if cm.Namespace == "" {
		cm.Namespace = m.namespace
	}
	m.all = append(m.all, cm)
	return nil
}

// Get finds a ConfigMap of the file.
func (m *configMaps) Get(_ context.Context, key client.ObjectKey, object client.Object, _ ...client.GetOption) error {
	i := slices.IndexFunc(m.all, func(cm corev1.ConfigMap) bool { return cm.Namespace == key.Namespace && cm.Name == key.Name })
	into, isConfigMap := object.(*corev1.ConfigMap)
	if i < 0 || !isConfigMap {
		return apierrors.NewNotFound(corev1.Resource("configmaps"), key.Name)
	}
	m.all[i].DeepCopyInto(into)
	return nil
}

func splitYAML(file []byte) [][]byte {
	var documents [][]byte
	for _, d := range bytes.Split(append([]byte("\n"), file...), []byte("\n---")) {
		if len(bytes.TrimSpace(d)) > 0 {
			documents = append(documents, d)
		}
	}
	return documents
}

// DefaultInjector is what an operator makes when there is no Injector.
func DefaultInjector() v1alpha1.Injector { return PlainInjector(v1alpha1.NameDefault) }

// PlainInjector has a revision, its name, and otherwise the defaults.
func PlainInjector(revision string) v1alpha1.Injector {
	inj := v1alpha1.Injector{}
	inj.Name, inj.Spec.Revision = revision, revision
	v1alpha1.SetDefaults(&inj)
	return inj
}

// claims is inject.Claims for Injectors that have to agree: no operator is there to say who was first.
func claims(injectors []v1alpha1.Injector) (map[string]string, error) {
	var names []string
	for i := range injectors {
		if slices.Contains(names, injectors[i].Name) {
			return nil, fmt.Errorf("there are two Injectors %q; remove one", injectors[i].Name)
		}
		names = append(names, injectors[i].Name)
	}
	owned, refused := inject.Claims(injectors)
	var faults []error
	for _, r := range refused {
		faults = append(faults, fmt.Errorf("injector %q claims the name %q, which injector %q has", r.Injector, r.Name, r.Owner))
	}
	return owned, errors.Join(faults...)
}

// OfflineSet compiles Injectors as the operator would.
func OfflineSet(injectors []v1alpha1.Injector, op inject.Operator) (*inject.Set, error) {
	owned, err := claims(injectors)
	if err != nil {
		return nil, err
	}
	var programs []*inject.Program
	for i := range injectors {
		program, err := inject.Compile(&injectors[i], op)
		if err != nil {
			return nil, err
		}
		programs = append(programs, program)
	}
	return inject.NewSet(op, programs, owned), nil
}

// namesOf are the names an Injector owns.
func namesOf(injector string, owned map[string]string) []string {
	var names []string
	for name, owner := range owned {
		if owner == injector {
			names = append(names, name)
		}
	}
	slices.SortFunc(names, strings.Compare)
	return names
}
