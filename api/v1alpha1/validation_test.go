package v1alpha1_test

import (
	"encoding/json"
	"os"
	"reflect"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/pillion-mesh/pillion/api/v1alpha1"
)

func named(edit func(*v1alpha1.InjectorSpec)) *v1alpha1.Injector {
	inj := &v1alpha1.Injector{ObjectMeta: metav1.ObjectMeta{Name: "i"}}
	edit(&inj.Spec)
	v1alpha1.SetDefaults(inj)
	return inj
}

func TestDefaultsAreValid(t *testing.T) {
	if errs := v1alpha1.Validate(named(func(*v1alpha1.InjectorSpec) {})); len(errs) > 0 {
		t.Error(errs.ToAggregate())
	}
}

// TestDefaultsAreTheSchemas: SetDefaults fills what the API server fills from the CRD.
func TestDefaultsAreTheSchemas(t *testing.T) {
	text, err := os.ReadFile("../../config/crd/pillion.dev_injectors.yaml")
	if err != nil {
		t.Fatalf("reading the generated CRD: %v", err)
	}
	var crd map[string]any
	if err := yaml.Unmarshal(text, &crd); err != nil {
		t.Fatal(err)
	}
	version := crd["spec"].(map[string]any)["versions"].([]any)[0].(map[string]any)
	schema := version["schema"].(map[string]any)["openAPIV3Schema"].(map[string]any)
	filled, err := json.Marshal(fill(map[string]any{}, schema))
	if err != nil {
		t.Fatal(err)
	}
	var fromSchema v1alpha1.Injector
	if err := json.Unmarshal(filled, &fromSchema); err != nil {
		t.Fatal(err)
	}
	var ours v1alpha1.Injector
	v1alpha1.SetDefaults(&ours)
	ours.Spec.Proxy.Resources = nil // not the schema's: half a resources object must not be filled up
	if !reflect.DeepEqual(ours.Spec, fromSchema.Spec) {
		t.Errorf("SetDefaults gives\n%+v\nthe schema\n%+v", ours.Spec, fromSchema.Spec)
	}
}

// fill applies a structural schema's defaults, as the API server does.
func fill(value, schema map[string]any) map[string]any {
	properties, _ := schema["properties"].(map[string]any)
	for name, p := range properties {
		property := p.(map[string]any)
		if _, set := value[name]; !set {
			if def, has := property["default"]; has {
				value[name] = def
			}
		}
		if object, ok := value[name].(map[string]any); ok {
			value[name] = fill(object, property)
		}
	}
	return value
}

func TestValidate(t *testing.T) {
	quantities := func(cpu string) corev1.ResourceList {
		return corev1.ResourceList{corev1.ResourceCPU: resource.MustParse(cpu)}
	}
	for _, row := range []struct {
		name string
		edit func(*v1alpha1.InjectorSpec)
		want string
	}{
		{"revision", func(s *v1alpha1.InjectorSpec) { s.Revision = "1.20" }, "spec.revision"},
		{"default not default", func(s *v1alpha1.InjectorSpec) { s.IsDefault = new(false) }, "spec.isDefault"},
		{"OptOut elsewhere", func(s *v1alpha1.InjectorSpec) { s.Revision, s.Policy = "canary", v1alpha1.PolicyOptOut }, "spec.policy"},
		{"policy", func(s *v1alpha1.InjectorSpec) { s.Policy = "Always" }, `spec.policy: Unsupported value: "Always"`},
		{"namespace", func(s *v1alpha1.InjectorSpec) { s.ExcludedNamespaces = []string{"a", "B"} }, "spec.excludedNamespaces[1]"},
		{"failure policy", func(s *v1alpha1.InjectorSpec) { s.Webhook.FailurePolicy = "fail" }, "spec.webhook.failurePolicy"},
		{"timeout", func(s *v1alpha1.InjectorSpec) { s.Webhook.TimeoutSeconds = 31 }, "spec.webhook.timeoutSeconds"},
		{"unknown template", func(s *v1alpha1.InjectorSpec) { s.DefaultTemplates = []string{"nope"} }, `spec.defaultTemplates[0]: Unsupported value: "nope": supported values: "sidecar"`},
		{"template twice", func(s *v1alpha1.InjectorSpec) {
			s.Templates = []v1alpha1.Template{{Name: "a", Inline: "x"}, {Name: "a", Inline: "x"}}
		}, "spec.templates[1].name: Duplicate"},
		{"empty template", func(s *v1alpha1.InjectorSpec) { s.Templates = []v1alpha1.Template{{Name: "a"}} }, "spec.templates[0].inline: Required"},
		{"templates too long together", func(s *v1alpha1.InjectorSpec) {
			for _, name := range strings.Split("abcde", "") {
				s.Templates = append(s.Templates, v1alpha1.Template{Name: name, Inline: strings.Repeat("x", 60<<10)})
			}
		}, "spec.templates: Too long: may not be more than 262144 bytes"},
		{"image", func(s *v1alpha1.InjectorSpec) { s.Proxy.Image = "a b" }, `"a b" is not an image reference`},
		{"log level", func(s *v1alpha1.InjectorSpec) { s.Proxy.LogLevel = "loud" }, "spec.proxy.logLevel"},
		{"user", func(s *v1alpha1.InjectorSpec) { s.Proxy.UID = -1 }, "spec.proxy.uid"},
		{"request above limit", func(s *v1alpha1.InjectorSpec) {
			s.Proxy.Resources = &corev1.ResourceRequirements{Requests: quantities("2"), Limits: quantities("1")}
		}, "spec.proxy.resources.requests[cpu]: Invalid value: \"2\": is above the limit 1"},
		{"negative", func(s *v1alpha1.InjectorSpec) {
			s.Proxy.Resources = &corev1.ResourceRequirements{Requests: quantities("-1")}
		}, "want a quantity of 0 or more"},
		{"device", func(s *v1alpha1.InjectorSpec) {
			s.Proxy.Resources = &corev1.ResourceRequirements{Limits: corev1.ResourceList{"example.com/gpu": resource.MustParse("1")}}
		}, "Unsupported value: \"example.com/gpu\""},
		{"mode", func(s *v1alpha1.InjectorSpec) { s.Capture.Mode = "TPROXY" }, "spec.capture.mode"},
		{"CIDR", func(s *v1alpha1.InjectorSpec) { s.Capture.IncludeOutboundIPRanges = new("10.0.0.0/33") }, `spec.capture.includeOutboundIPRanges: Invalid value: "10.0.0.0/33"`},
		{"ports", func(s *v1alpha1.InjectorSpec) { s.Capture.ExcludeInboundPorts = "80,x" }, `"x" is not a port; want ports or ranges, such as 80,8000-8010`},
	} {
		t.Run(row.name, func(t *testing.T) {
			errs := v1alpha1.Validate(named(row.edit))
			if len(errs) != 1 || !strings.Contains(errs[0].Error(), row.want) {
				t.Errorf("got %v, want one with %s", errs, row.want)
			}
		})
	}
}

func FuzzLists(f *testing.F) {
	for _, seed := range []string{"80,8000-8010", "*", " 1 - 2 ,", "10.0.0.0/8,fd00::1", "fe80::1%eth0", "-", "99999"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, list string) {
		for _, check := range []func(string) (string, error){v1alpha1.Ports, v1alpha1.PortsOrAll, v1alpha1.CIDRs, v1alpha1.CIDRsOrAll} {
			clean, err := check(list)
			if err != nil {
				continue
			}
			if again, err := check(clean); err != nil || again != clean {
				t.Fatalf("%q became %q, which becomes %q, %v", list, clean, again, err)
			}
			if strings.Trim(clean, "0123456789abcdefABCDEF.:/-,*") != "" {
				t.Fatalf("%q became %q", list, clean)
			}
		}
	})
}
