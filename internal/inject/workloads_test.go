package inject_test

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	"github.com/pillion-mesh/pillion/internal/inject"
)

const podTemplate = `
    metadata: {labels: {app: web}}
    spec:
      containers: [{name: app, image: "web:1"}]
`

// kinds are a document of each kind of workload.
var kinds = map[string]string{
	"Pod":                   "apiVersion: v1\nkind: Pod\nmetadata: {name: web}\nspec: {containers: [{name: app, image: 'web:1'}]}\n",
	"Deployment":            "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\nspec:\n  replicas: 2\n  template:" + podTemplate,
	"ReplicaSet":            "apiVersion: apps/v1\nkind: ReplicaSet\nmetadata: {name: web}\nspec:\n  template:" + podTemplate,
	"StatefulSet":           "apiVersion: apps/v1\nkind: StatefulSet\nmetadata: {name: web}\nspec:\n  template:" + podTemplate,
	"DaemonSet":             "apiVersion: apps/v1\nkind: DaemonSet\nmetadata: {name: web}\nspec:\n  template:" + podTemplate,
	"Job":                   "apiVersion: batch/v1\nkind: Job\nmetadata: {name: web}\nspec:\n  template:" + podTemplate,
	"ReplicationController": "apiVersion: v1\nkind: ReplicationController\nmetadata: {name: web}\nspec:\n  template:" + podTemplate,
	"CronJob":               "apiVersion: batch/v1\nkind: CronJob\nmetadata: {name: web}\nspec: {jobTemplate: {spec: {template: {metadata: {labels: {app: web}}, spec: {containers: [{name: app, image: 'web:1'}]}}}}}\n",
}

var shop = inject.WorkloadOptions{Namespace: inject.Namespace{Name: "shop", Labels: map[string]string{"istio-injection": "enabled"}}}

func TestEveryKindOfWorkload(t *testing.T) {
	set := setOf(t, injector("default", "default"))
	for kind, text := range kinds {
		docs, err := set.Workloads(context.Background(), []byte(text), shop)
		if err != nil || len(docs) != 1 || len(docs[0].Workloads) != 1 {
			t.Fatalf("%s: %v %v", kind, docs, err)
		}
		w := docs[0].Workloads[0]
		if w.Kind != kind || w.Name != "web" || w.Namespace != "shop" || !w.Changed || w.Decision.Reason() != inject.ReasonNamespaceLabel {
			t.Errorf("%s: %+v", kind, w)
		}
		if got := string(docs[0].JSON); strings.Count(got, `"name":"istio-proxy"`) != 1 || !strings.Contains(got, `"kind":"`+kind+`"`) ||
			!strings.Contains(got, `"service.istio.io/canonical-name":"web"`) {
			t.Errorf("%s: %s", kind, got)
		}
		again, err := set.Workloads(context.Background(), docs[0].JSON, shop)
		if err != nil || again[0].Changed || !bytes.Equal(again[0].JSON, docs[0].JSON) {
			t.Errorf("%s: injecting twice changes it: %v", kind, err)
		}
	}
}

func TestFilesOfSeveralDocuments(t *testing.T) {
	file := "# a comment\napiVersion: v1\nkind: Service\nmetadata: {name: web}\n---\n" + kinds["Deployment"] + "---\n---\n" +
		`{"apiVersion":"v1","kind":"List","items":[{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"c"}},{"apiVersion":"v1","kind":"Pod","metadata":{"name":"p","namespace":"other"},"spec":{"containers":[{"name":"a"}]}}]}`
	o := shop
	o.Namespaces = map[string]inject.Namespace{"other": {Labels: map[string]string{"istio-injection": "disabled"}}}
	docs, err := setOf(t, injector("default", "default")).Workloads(context.Background(), []byte(file), o)
	if err != nil || len(docs) != 3 {
		t.Fatalf("%d documents: %v", len(docs), err)
	}
	if docs[0].Changed || !strings.HasPrefix(string(docs[0].Source), "# a comment") || docs[0].Workloads[0].IsWorkload {
		t.Errorf("the Service isn't left alone: %s", docs[0].Source)
	}
	if !docs[1].Changed {
		t.Error("the Deployment isn't injected")
	}
	list := docs[2]
	if len(list.Workloads) != 2 || list.Changed || list.Workloads[1].Decision.Reason() != inject.ReasonNamespaceOptedOut {
		t.Errorf("%+v", list.Workloads)
	}
}

func TestBrokenFiles(t *testing.T) {
	set := setOf(t, injector("default", "default"))
	for _, text := range []string{"a: b: c", "{", "a: 1\na: 2"} {
		if _, err := set.Workloads(context.Background(), []byte("kind: X\n---\n"+text), shop); err == nil || !strings.Contains(err.Error(), "document 2") {
			t.Errorf("%q: %v", text, err)
		}
	}
	docs, err := set.Workloads(context.Background(), []byte("apiVersion: v1\nkind: Pod\nspec: []\n"), shop)
	if err != nil || docs[0].Workloads[0].Decision.Reason() != inject.ReasonBodyInvalid {
		t.Errorf("%v %v", docs, err)
	}
}

// TestExplain: what people read has the verdict first and every step with a mark.
func TestExplain(t *testing.T) {
	set := setOf(t, injector("default", "default"))
	text, err := os.ReadFile(filepath.Join("testdata", "inject", "classic.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	pod, err := yaml.YAMLToJSON(text)
	if err != nil {
		t.Fatal(err)
	}
	d := set.Decide(inject.Request{Namespace: shop.Namespace, Pod: pod})
	got := d.Explain()
	for _, want := range []string{
		"✔ injected: namespace \"shop\" is labelled istio-injection=enabled\n", "injector default, webhook entry namespace, templates sidecar",
		"· host-network ", "· uid-collision ",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
}

// TestLastLineOfAnyLength: a file without a newline at its end loses nothing.
func TestLastLineOfAnyLength(t *testing.T) {
	set := setOf(t, injector("default", "default"))
	for _, length := range []int{4095, 4096, 4097, 8192} {
		pod := `{"apiVersion":"v1","kind":"Pod","metadata":{"name":""},"spec":{"containers":[{"name":"a"}]}}`
		pod = strings.Replace(pod, `"name":""`, `"name":"`+strings.Repeat("p", length-len(pod))+`"`, 1)
		docs, err := set.Workloads(t.Context(), []byte(pod), shop)
		if err != nil || len(docs) != 1 || len(pod) != length {
			t.Errorf("%d bytes: %d documents: %v", length, len(docs), err)
		}
	}
}
