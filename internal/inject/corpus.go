package inject

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/pillion-mesh/pillion/api/v1alpha1"
	"github.com/pillion-mesh/pillion/internal/inject/rawjson"
)

// corpus are the pods every program is tried on before it serves: one for each thing templates may stumble over. All
// have a container: the API takes no pod without.
var corpus = []struct{ name, metadata, spec string }{
	{"smallest", ``, `"containers":[{"name":"app"}]`},
	{"resources", ``, `"containers":[{"name":"app","resources":{"limits":{"cpu":"1"},"requests":{"cpu":"500m"}}}]`},
	{"environment", ``, `"containers":[{"name":"app","env":[{"name":"A","value":"$(B)"},{"name":"B","valueFrom":{"fieldRef":{"fieldPath":"spec.nodeName"}}}]}]`},
	{"named", `"name":"web-0","namespace":"shop"`, `"containers":[{"name":"app","image":"web:1"}]`},
	{"generated name", `"generateName":"web-5d8f9-"`, `"containers":[{"name":"app"}]`},
	{"longest name", `"name":"` + strings.Repeat("a", 253) + `"`, `"containers":[{"name":"` + strings.Repeat("b", 63) + `"}]`},
	{"labels", `"labels":{"app":"web","version":"v1","app.kubernetes.io/name":"web"}`, `"containers":[{"name":"app"}]`},
	{"empty labels", `"labels":{},"annotations":{}`, `"containers":[{"name":"app"}]`},
	{"hostile annotations", `"annotations":{"a":"\"}]${x}\n--- {{ . }}","b":"\u0000\u2028"}`, `"containers":[{"name":"app"}]`},
	{"of a Deployment", `"labels":{"pod-template-hash":"5d8f9"},"ownerReferences":[{"apiVersion":"apps/v1","kind":"ReplicaSet","name":"web-5d8f9","uid":"u","controller":true}]`, `"containers":[{"name":"app"}]`},
	{"of a StatefulSet", `"ownerReferences":[{"apiVersion":"apps/v1","kind":"StatefulSet","name":"db","uid":"u","controller":true}]`, `"containers":[{"name":"app"}]`},
	{"of a CronJob", `"ownerReferences":[{"apiVersion":"batch/v1","kind":"Job","name":"tick-28900000","uid":"u","controller":true}]`, `"restartPolicy":"OnFailure","containers":[{"name":"app"}]`},
	{"runs once", ``, `"restartPolicy":"Never","containers":[{"name":"app"}]`},
	{"ports", ``, `"containers":[{"name":"app","ports":[{"containerPort":80},{"name":"dns","containerPort":53,"protocol":"UDP"}]}]`},
	{"init containers", ``, `"initContainers":[{"name":"setup"},{"name":"log","restartPolicy":"Always"}],"containers":[{"name":"app"}]`},
	{"many containers", ``, `"containers":[{"name":"a"},{"name":"b"},{"name":"c"},{"name":"d"}]`},
	{"volumes", ``, `"volumes":[{"name":"data","emptyDir":{}},{"name":"istio-envoy","emptyDir":{}}],"containers":[{"name":"app"}]`},
	{"own istio-proxy", ``, `"containers":[{"name":"app"},{"name":"istio-proxy","image":"auto","env":[{"name":"X","value":"1"}]}]`},
	{"own native istio-proxy", ``, `"initContainers":[{"name":"istio-proxy","image":"own:1"}],"containers":[{"name":"app"}]`},
	{"node", ``, `"nodeName":"n1","containers":[{"name":"app"}]`},
	{"service account", ``, `"serviceAccountName":"robot","automountServiceAccountToken":false,"containers":[{"name":"app"}]`},
	{"no grace", ``, `"terminationGracePeriodSeconds":0,"containers":[{"name":"app"}]`},
	{"security", ``, `"securityContext":{"runAsUser":1000,"runAsNonRoot":true,"fsGroup":2000},"containers":[{"name":"app","securityContext":{"readOnlyRootFilesystem":true}}]`},
	{"pull secrets", ``, `"imagePullSecrets":[{"name":"regcred"}],"containers":[{"name":"app"}]`},
	{"other settings", `"annotations":{"sidecar.istio.io/logLevel":"trace","sidecar.istio.io/componentLogLevel":"http:debug","sidecar.istio.io/proxyCPU":"1m","readiness.status.sidecar.istio.io/initialDelaySeconds":"9","pillion.dev/exclude-outbound-uids":"7"}`, `"containers":[{"name":"app"}]`},
	{"no status port", `"annotations":{"status.sidecar.istio.io/port":"0"}`, `"containers":[{"name":"app"}]`},
	{"low ports", `"annotations":{"sidecar.istio.io/capNetBindService":"true"}`, `"containers":[{"name":"app"}]`},
	{"volumes of annotations", `"annotations":{"sidecar.istio.io/userVolume":"{\"x\":{\"emptyDir\":{}}}","sidecar.istio.io/userVolumeMount":"{\"x\":{\"mountPath\":\"/x\"}}"}`, `"containers":[{"name":"app"}]`},
	{"ProxyConfig", `"annotations":{"proxy.istio.io/config":"{concurrency: 2, proxyMetadata: {A: b}}"}`, `"containers":[{"name":"app"}]`},
	{"no capture", `"annotations":{"sidecar.istio.io/interceptionMode":"NONE"}`, `"containers":[{"name":"app"}]`},
	{"resources of the pod", ``, `"resources":{"requests":{"cpu":"1"}},"containers":[{"name":"app"}]`},
}

// tryCorpus runs the Injector's own templates and the default ones, each alone, and the default ones together, over the
// corpus, native and not. One fault a template is enough. The built-in templates that are left are tried by our tests.
func (p *Program) tryCorpus(ctx context.Context, faults map[string][]v1alpha1.TemplateError) {
	names := slices.Clone(p.defaults.templates)
	for _, t := range p.spec().Templates {
		if !slices.Contains(names, t.Name) {
			names = append(names, t.Name)
		}
	}
	for _, name := range names {
		if err := p.tryTemplates(ctx, []string{name}); err != nil {
			faults[name] = []v1alpha1.TemplateError{{Message: cut(err.Error(), 2*shown)}}
		}
	}
	if len(faults) > 0 || len(p.defaults.templates) == 1 {
		return
	}
	if err := p.tryTemplates(ctx, p.defaults.templates); err != nil {
		faults[""] = []v1alpha1.TemplateError{{Message: cut("defaultTemplates together: "+err.Error(), 2*shown)}}
	}
}

func (p *Program) tryTemplates(ctx context.Context, names []string) error {
	for i := range corpus {
		for _, native := range []bool{false, true} {
			if err := p.tryPod(ctx, names, i, native); err != nil {
				return fmt.Errorf("on a test pod (%s): %w", corpus[i].name, err)
			}
		}
	}
	return nil
}

func (p *Program) tryPod(ctx context.Context, names []string, i int, native bool) error {
	root, err := rawjson.Parse(`{"apiVersion":"v1","kind":"Pod","metadata":{` + corpus[i].metadata + `},"spec":{` + corpus[i].spec + `}}`)
	if err != nil {
		return err
	}
	s := p.baseSettings(native)
	view := viewPod(root)
	if faults := s.read(p, view, Namespace{Name: "shop"}); len(faults) > 0 {
		return errors.New(faults[0].Message)
	}
	chosen, _ := p.choose(names)
	s.follow(chosen, view)
	owner, _ := view.owners()
	v := &vars{program: p, pod: view, namespace: Namespace{Name: "shop"}, owner: owner, settings: s}
	result, err := p.injected(ctx, root, v, ReasonPodLabel)
	if err != nil {
		return err
	}
	decoder := json.NewDecoder(bytes.NewReader(result.Append(nil)))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&corev1.Pod{}); err != nil {
		return fmt.Errorf("the result is no pod: %w", err)
	}
	made := viewPod(result)
	if err := unnamed(made); err != nil {
		return err
	}
	return unsound(made)
}

// unnamed finds rendered containers and volumes that can't be merged, since they say no name.
func unnamed(p pod) error {
	for _, list := range []string{"initContainers", "containers", "volumes"} {
		for i, item := range p.spec.Get(list).Items() {
			if nameOf(item) == "" {
				return fmt.Errorf("spec.%s[%d] has no name", list, i)
			}
		}
	}
	return nil
}
