package probe

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"testing"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	"sigs.k8s.io/yaml"

	"github.com/pillion-mesh/pillion/internal/inject"
)

var update = flag.Bool("update", false, "write the golden files anew")

func TestConfiguration(t *testing.T) {
	for name, target := range map[string]Target{
		"service": {Service: "pillion", Namespace: "mesh", Port: 443},
		"url":     {Service: "pillion", Namespace: "mesh", Port: 443, URL: "https://localhost:15017/"},
	} {
		c := Configuration(target, []byte("bundle"))
		if c.Labels[inject.LabelInjector] != "" {
			t.Error("it passes for an Injector's configuration, and would be kept, degraded and removed as one")
		}
		got, err := yaml.Marshal(c)
		must(t, err)
		path := filepath.Join("testdata", name+".yaml")
		if *update {
			must(t, os.WriteFile(path, got, 0o644))
		}
		want, err := os.ReadFile(path)
		must(t, err)
		if !bytes.Equal(got, want) {
			t.Errorf("%s differs:\n%s", path, got)
		}
	}
}

// TestSame: what the API server or others add to labels and annotations is theirs.
func TestSame(t *testing.T) {
	target := Target{Service: "pillion", Namespace: "mesh", Port: 443}
	for _, row := range []struct {
		name   string
		change func(*admissionv1.MutatingWebhookConfiguration)
		same   bool
	}{
		{"nothing", func(*admissionv1.MutatingWebhookConfiguration) {}, true},
		{"a label more", func(c *admissionv1.MutatingWebhookConfiguration) { c.Labels["a"] = "b" }, true},
		{"no labels", func(c *admissionv1.MutatingWebhookConfiguration) { c.Labels = nil }, false},
		{"bundle", func(c *admissionv1.MutatingWebhookConfiguration) { c.Webhooks[0].ClientConfig.CABundle = nil }, false},
		{"failurePolicy", func(c *admissionv1.MutatingWebhookConfiguration) {
			c.Webhooks[0].FailurePolicy = new(admissionv1.Ignore)
		}, false},
		{"an entry more", func(c *admissionv1.MutatingWebhookConfiguration) {
			c.Webhooks = append(c.Webhooks, admissionv1.MutatingWebhook{Name: "x"})
		}, false},
		{"conditions", func(c *admissionv1.MutatingWebhookConfiguration) {
			c.Webhooks[0].MatchConditions = []admissionv1.MatchCondition{{Name: "x", Expression: "false"}}
		}, false},
	} {
		live := Configuration(target, []byte("bundle"))
		row.change(live)
		if got := same(Configuration(target, []byte("bundle")), live); got != row.same {
			t.Errorf("%s: same is %t", row.name, got)
		}
	}
}
