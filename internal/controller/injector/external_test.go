package injector

import (
	"testing"

	admissionv1 "k8s.io/api/admissionregistration/v1"
)

func TestBundlesOfOthersAreLeft(t *testing.T) {
	of := func(bundles map[string]string) *admissionv1.MutatingWebhookConfiguration {
		c := &admissionv1.MutatingWebhookConfiguration{}
		for _, name := range []string{"a", "b", "c"} {
			if bundle, ok := bundles[name]; ok {
				c.Webhooks = append(c.Webhooks, admissionv1.MutatingWebhook{Name: name, ClientConfig: admissionv1.WebhookClientConfig{CABundle: []byte(bundle)}})
			}
		}
		return c
	}
	want, live := of(map[string]string{"a": "ours", "b": "ours", "c": "ours"}), of(map[string]string{"a": "theirs", "b": ""})
	leaveBundles(want, live)
	for i, bundle := range []string{"theirs", "ours", "ours"} {
		if got := string(want.Webhooks[i].ClientConfig.CABundle); got != bundle {
			t.Errorf("entry %s: %s, want %s", want.Webhooks[i].Name, got, bundle)
		}
	}
}
