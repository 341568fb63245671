package pillion

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/pillion-mesh/pillion/internal/capture/plan"
	"github.com/pillion-mesh/pillion/internal/cli"
	"github.com/pillion-mesh/pillion/internal/inject"
	"github.com/pillion-mesh/pillion/internal/istio"
)

// TestCaptureUnderstandsWhatInjectionSays: inject and capture don't know each other; what the one writes into istio-init
// must mean the same to the other, for every annotation.
func TestCaptureUnderstandsWhatInjectionSays(t *testing.T) {
	for _, c := range []struct {
		annotation, value string
		check             func(plan.Options) any
		want              any
	}{
		{"none.example", "", func(o plan.Options) any { return o.ProxyUIDs }, []uint32{istio.ProxyUID}},
		{"none.example", "", func(o plan.Options) any { return o.InboundPorts.String() + o.OutboundCIDRs.String() }, "**"},
		{"none.example", "", func(o plan.Options) any { return fmt.Sprint(o.ExcludeInboundPorts) }, "[15020-15021 15090]"},
		{istio.AnnotationIncludeOutboundIPRanges, "10.0.0.0/8,192.0.2.7", func(o plan.Options) any { return o.OutboundCIDRs.String() }, "10.0.0.0/8,192.0.2.7/32"},
		{istio.AnnotationExcludeOutboundIPRanges, "10.9.0.0/16,fd00::/8", func(o plan.Options) any { return fmt.Sprint(o.ExcludeOutboundCIDRs) }, "[10.9.0.0/16 fd00::/8]"},
		{istio.AnnotationIncludeInboundPorts, "80,8000-8010", func(o plan.Options) any { return o.InboundPorts.String() }, "80,8000-8010"},
		{istio.AnnotationIncludeInboundPorts, "", func(o plan.Options) any { return o.InboundPorts.None() }, true},
		{istio.AnnotationExcludeInboundPorts, "22, 9000-9001", func(o plan.Options) any { return fmt.Sprint(o.ExcludeInboundPorts) }, "[22 9000-9001 15020-15021 15090]"},
		{istio.AnnotationIncludeOutboundPorts, "5432", func(o plan.Options) any { return fmt.Sprint(o.OutboundPorts) }, "[5432]"},
		{istio.AnnotationExcludeOutboundPorts, "25,465", func(o plan.Options) any { return fmt.Sprint(o.ExcludeOutboundPorts) }, "[25 465]"},
	} {
		command, err := plan.Parse(captureArgs(t, c.annotation, c.value), plan.Environment{})
		if err != nil {
			t.Errorf("%s=%q: capture refuses it: %v", c.annotation, c.value, err)
			continue
		}
		if got := c.check(command.Options); !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s=%q: capture understands %v, want %v", c.annotation, c.value, got, c.want)
		}
		if _, _, err := plan.New(command.Options, plan.Families{V4: true, V6: true}); err != nil {
			t.Errorf("%s=%q: no plan: %v", c.annotation, c.value, err)
		}
	}
}

// captureArgs are the arguments of istio-init in a pod with one annotation.
func captureArgs(t *testing.T, annotation, value string) []string {
	t.Helper()
	set, err := offlineSet(injectOptions{sidecarImage: "sidecar:1"})
	if err != nil {
		t.Fatal(err)
	}
	pod := fmt.Sprintf(`{"apiVersion":"v1","kind":"Pod","metadata":{"name":"p","annotations":{%q:%q}},"spec":{"containers":[{"name":"app","image":"app"}]}}`, annotation, value)
	documents, err := cli.InjectFile(t.Context(), set, []byte(pod), cli.FileOptions{Namespace: "shop", NamespaceLabels: map[string]string{istio.LabelInjection: "enabled"}})
	if err != nil {
		t.Fatal(err)
	}
	var injected corev1.Pod
	if err := json.Unmarshal(documents[0].JSON, &injected); err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(injected.Spec.InitContainers, func(c corev1.Container) bool { return c.Name == istio.ContainerInit })
	if i < 0 {
		t.Fatalf("%s=%q: no %s: %+v", annotation, value, istio.ContainerInit, documents[0].Workloads)
	}
	init := injected.Spec.InitContainers[i]
	if strings.Join(init.Command, " ") != "pillion-capture" || documents[0].Workloads[0].Decision.Outcome != inject.OutcomeInject {
		t.Fatalf("%s=%q: command %v", annotation, value, init.Command)
	}
	return init.Args
}
