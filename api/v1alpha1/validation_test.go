package v1alpha1_test

import (
	"encoding/json"
	"fmt"
	"os"
	"reflect"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
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
		{"unknown template", func(s *v1alpha1.InjectorSpec) { s.DefaultTemplates = []string{"nope"} }, `spec.defaultTemplates[0]: Unsupported value: "nope": supported values: "sidecar", "gateway", "proxyless"`},
		{"template twice", func(s *v1alpha1.InjectorSpec) {
			s.Templates = []v1alpha1.Template{{Name: "a", Inline: "x"}, {Name: "a", Inline: "x"}}
		}, "spec.templates[1].name: Duplicate"},
		{"empty template", func(s *v1alpha1.InjectorSpec) { s.Templates = []v1alpha1.Template{{Name: "a"}} }, "spec.templates[0]: Required value: the template's text: inline or configMapRef"},
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
		{"mode", func(s *v1alpha1.InjectorSpec) { s.Capture.Mode = "CNI" }, "spec.capture.mode"},
		{"CIDR", func(s *v1alpha1.InjectorSpec) { s.Capture.IncludeOutboundIPRanges = new("10.0.0.0/33") }, `spec.capture.includeOutboundIPRanges: Invalid value: "10.0.0.0/33"`},
		{"ports", func(s *v1alpha1.InjectorSpec) { s.Capture.ExcludeInboundPorts = "80,x" }, `"x" is not a port; want ports or ranges, such as 80,8000-8010`},
		{"tag default", func(s *v1alpha1.InjectorSpec) { s.Tags = []string{"default"} }, "spec.tags[0]: Invalid value: \"default\": set isDefault: true instead"},
		{"tag is the revision", func(s *v1alpha1.InjectorSpec) { s.Revision, s.Tags = "a", []string{"a"} }, "spec.tags[0]"},
		{"tag twice", func(s *v1alpha1.InjectorSpec) { s.Tags = []string{"a", "a"} }, "spec.tags[1]: Duplicate"},
		{"too many tags", func(s *v1alpha1.InjectorSpec) {
			for i := range 33 {
				s.Tags = append(s.Tags, fmt.Sprint("t", i))
			}
		}, "spec.tags: Too many: 33"},
		{"empty selector", func(s *v1alpha1.InjectorSpec) { s.NeverInject = make([]metav1.LabelSelector, 1) }, "spec.neverInject[0]: Required value: an empty selector matches every pod"},
		{"broken selector", func(s *v1alpha1.InjectorSpec) {
			s.AlwaysInject = []metav1.LabelSelector{{MatchExpressions: []metav1.LabelSelectorRequirement{{Key: "a", Operator: "Is"}}}}
		}, "spec.alwaysInject[0].matchExpressions[0].operator"},
		{"two sources", func(s *v1alpha1.InjectorSpec) {
			s.Templates = []v1alpha1.Template{{Name: "a", Inline: "x", ConfigMapRef: &v1alpha1.ConfigMapKey{Name: "c", Key: "k"}}}
		}, "has inline and configMapRef; remove one"},
		{"key", func(s *v1alpha1.InjectorSpec) {
			s.Templates = []v1alpha1.Template{{Name: "a", ConfigMapRef: &v1alpha1.ConfigMapKey{Name: "c", Key: "a/b"}}}
		}, "spec.templates[0].configMapRef.key"},
		{"alias of nothing", func(s *v1alpha1.InjectorSpec) { s.Aliases = []v1alpha1.Alias{{Name: "a", Templates: []string{"b"}}} }, "spec.aliases[0].templates[0]: Unsupported value"},
		{"alias of an alias", func(s *v1alpha1.InjectorSpec) {
			s.Aliases = []v1alpha1.Alias{{Name: "a", Templates: []string{"sidecar"}}, {Name: "b", Templates: []string{"a"}}}
		}, "spec.aliases[1].templates[0]: Unsupported value"},
		{"alias is a template", func(s *v1alpha1.InjectorSpec) {
			s.Aliases = []v1alpha1.Alias{{Name: "gateway", Templates: []string{"sidecar"}}}
		}, "a template or alias has this name"},
		{"values", func(s *v1alpha1.InjectorSpec) { s.Values = &runtime.RawExtension{Raw: make([]byte, 64<<10+1)} }, "spec.values: Too long"},
		{"pull secret", func(s *v1alpha1.InjectorSpec) { s.ImagePullSecrets = []v1alpha1.PullSecret{{Name: "A_b"}} }, "spec.imagePullSecrets[0].name"},
		{"service and URL", func(s *v1alpha1.InjectorSpec) {
			s.Webhook.URL, s.Webhook.Service = "https://a", &v1alpha1.WebhookService{Name: "a", Namespace: "b"}
		}, "service and url exclude each other"},
		{"degrade without the field", func(s *v1alpha1.InjectorSpec) { s.Webhook.Mode, s.Degrade.Mode = "Field", "Ignore" }, "spec.degrade.mode"},
		{"degrade at once", func(s *v1alpha1.InjectorSpec) { s.Degrade.After.Duration = 1 }, "spec.degrade.after: Invalid value: \"1ns\": want 1s to 1h"},
		{"component level", func(s *v1alpha1.InjectorSpec) { s.Proxy.ComponentLogLevel = "http:debug,x" }, `"x" is not a level of a scope`},
		{"agent level", func(s *v1alpha1.InjectorSpec) { s.Proxy.AgentLogLevel = "loud" }, "spec.proxy.agentLogLevel"},
		{"variable", func(s *v1alpha1.InjectorSpec) { s.Proxy.Env = []v1alpha1.EnvVar{{Name: "A=B"}} }, "spec.proxy.env[0].name"},
		{"ratio", func(s *v1alpha1.InjectorSpec) {
			s.Proxy.ResourceRatio = &v1alpha1.ResourceRatio{Requests: v1alpha1.Ratios{CPU: &v1alpha1.Ratio{Percent: 10, Min: new(resource.MustParse("2")), Max: new(resource.MustParse("1"))}}}
		}, "spec.proxy.resourceRatio.requests.cpu.min: Invalid value: \"2\": is above max 1"},
		{"user ids", func(s *v1alpha1.InjectorSpec) { s.Capture.ExcludeOutboundUIDs = "5-1" }, `range "5-1" ends before it starts`},
		{"no user", func(s *v1alpha1.InjectorSpec) { s.Capture.ExcludeOutboundUIDs = "4294967295" }, "is not a user id"},
		{"interface", func(s *v1alpha1.InjectorSpec) { s.Capture.ExcludeInterfaces = "net1,a/b" }, `"a/b" is not an interface`},
		{"window", func(s *v1alpha1.InjectorSpec) {
			s.Workload.MaintenanceWindows = []v1alpha1.MaintenanceWindow{{Start: "2:00", End: "05:00"}}
		}, "spec.workload.maintenanceWindows[0].start: Invalid value: \"2:00\": want HH:MM"},
		{"time zone", func(s *v1alpha1.InjectorSpec) {
			s.Workload.MaintenanceWindows = []v1alpha1.MaintenanceWindow{{Start: "02:00", End: "05:00", TimeZone: "Mars/Base"}}
		}, "spec.workload.maintenanceWindows[0].timeZone"},
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
	for _, seed := range []string{"80,8000-8010", "*", " 1 - 2 ,", "10.0.0.0/8,fd00::1", "fe80::1%eth0", "-", "99999", "0,4294967294", "net1,eth0.100", "http:debug,tcp:off"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, list string) {
		for _, kind := range []struct {
			check func(string) (string, error)
			of    string // what is left of a good list
		}{
			{v1alpha1.Ports, "0123456789-,"}, {v1alpha1.PortsOrAll, "0123456789-,*"}, {v1alpha1.UIDs, "0123456789-,"},
			{v1alpha1.CIDRs, "0123456789abcdefABCDEF.:/,"}, {v1alpha1.CIDRsOrAll, "0123456789abcdefABCDEF.:/,*"},
			{v1alpha1.ComponentLogLevel, "abcdefghijklmnopqrstuvwxyz0123456789_-:,"},
		} {
			if clean, ok := cleaned(t, kind.check, list); ok && strings.Trim(clean, kind.of) != "" {
				t.Fatalf("%q became %q", list, clean)
			}
		}
		if clean, ok := cleaned(t, v1alpha1.Interfaces, list); ok && strings.ContainsAny(clean, " \t\n/:") {
			t.Fatalf("interfaces %q became %q", list, clean)
		}
	})
}

// TestListsHaveFewBytes: a list becomes one argument of istio-init, and no process starts with one of 128 KiB.
func TestListsHaveFewBytes(t *testing.T) {
	const item = "2001:db8:1111:2222:3333:4444:5555:6666/128,"
	fitting := strings.Repeat(item, 64<<10/len(item))
	for _, check := range []func(string) (string, error){v1alpha1.CIDRs, v1alpha1.CIDRsOrAll} {
		if clean, err := check(fitting); err != nil || clean != strings.TrimSuffix(fitting, ",") {
			t.Errorf("a list of %d bytes: %v", len(fitting), err)
		}
		if _, err := check(fitting + item); err == nil || !strings.Contains(err.Error(), "more than 65536 bytes; use ranges") {
			t.Errorf("a list of %d bytes: %v", len(fitting+item), err)
		}
	}
}

// cleaned is what a check makes of a list; made again of that, it's the same.
func cleaned(t *testing.T, check func(string) (string, error), list string) (clean string, ok bool) {
	t.Helper()
	clean, err := check(list)
	if err != nil {
		return "", false
	}
	if again, err := check(clean); err != nil || again != clean {
		t.Fatalf("%q became %q, which becomes %q, %v", list, clean, again, err)
	}
	return clean, true
}
