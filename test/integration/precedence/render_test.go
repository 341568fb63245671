package precedence

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"testing"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/pillion-mesh/pillion/api/v1alpha1"
	"github.com/pillion-mesh/pillion/internal/cli"
	"github.com/pillion-mesh/pillion/internal/inject/injecttest"
	"github.com/pillion-mesh/pillion/templates"
)

// testRenderedWebhooks: what `pillion webhooks render` prints can be applied again and again, as
// GitOps tools do; the caBundle that the operator wrote in between stays.
func testRenderedWebhooks(t *testing.T, api client.Client, bundle string) {
	world := injecttest.Tagged(v1alpha1.PolicyOptOut)
	for i := range world.Injectors {
		spec := &world.Injectors[i].Spec.Webhook
		spec.MatchConditions, spec.FailurePolicy = new(i > 0), "Ignore" // nobody answers
	}
	rendered, err := cli.RenderWebhooks(world.Injectors, "", injecttest.Operator(templates.FS))
	if err != nil || len(rendered) != len(world.Owners) {
		t.Fatalf("%d configurations, want one for each of %v: %v", len(rendered), world.Names(), err)
	}
	for i := range rendered {
		text, err := json.Marshal(rendered[i])
		if err != nil {
			t.Fatal(err)
		}
		live := &unstructured.Unstructured{}
		apply := func() {
			if err := json.Unmarshal(text, live); err != nil {
				t.Fatal(err)
			}
			if err := api.Apply(t.Context(), client.ApplyConfigurationFromUnstructured(live), client.FieldOwner("gitops")); err != nil {
				t.Fatalf("applying %s: %v", rendered[i].Name, err)
			}
		}
		apply()
		t.Cleanup(func() { _ = api.Delete(context.Background(), live) })
		patch := `[{"op":"add","path":"/webhooks/0/clientConfig/caBundle","value":"` + base64.StdEncoding.EncodeToString([]byte(bundle)) + `"}]`
		if err := api.Patch(t.Context(), live, client.RawPatch(types.JSONPatchType, []byte(patch)), client.FieldOwner("operator")); err != nil {
			t.Fatalf("writing the caBundle of %s: %v", rendered[i].Name, err)
		}
		apply()
		var after admissionregistrationv1.MutatingWebhookConfiguration
		if err := api.Get(t.Context(), client.ObjectKey{Name: rendered[i].Name}, &after); err != nil {
			t.Fatal(err)
		}
		if got := string(after.Webhooks[0].ClientConfig.CABundle); got != bundle {
			t.Errorf("%s: the caBundle became %q by applying what was rendered", rendered[i].Name, got)
		}
	}
}
