package injector

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/pillion-mesh/pillion/api/v1alpha1"
)

// fromConfigMap has a template whose text is in a ConfigMap.
func fromConfigMap(i *v1alpha1.Injector) {
	i.Spec.DefaultTemplates = []string{"sidecar", "mark"}
	i.Spec.Templates = []v1alpha1.Template{{Name: "mark", ConfigMapRef: &v1alpha1.ConfigMapKey{Name: "texts", Key: "mark.yaml"}}}
}

func texts(data map[string]string) *corev1.ConfigMap {
	return &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "pillion-system", Name: "texts"}, Data: data}
}

func mark(value string) map[string]string {
	return map[string]string{"mark.yaml": "metadata:\n  labels:\n    mark: " + value + "\n"}
}

func TestTextsOfConfigMaps(t *testing.T) {
	many := map[string]string{}
	for i := range 10 {
		many[fmt.Sprint("k", i)] = "x"
	}
	for _, row := range []struct {
		name string
		cm   *corev1.ConfigMap
		want string
	}{
		{"there", texts(mark("a")), ""},
		{"no ConfigMap", nil, "ConfigMap pillion-system/texts doesn't exist; make it, or put the text into inline"},
		{"no key", texts(map[string]string{"b": "x", "a": "x"}), `ConfigMap pillion-system/texts has no key "mark.yaml"; it has a, b`},
		{"no key of many", texts(many), "k7 and 2 more"},
		{"no key at all", texts(nil), "it is empty"},
		{"blank", texts(map[string]string{"mark.yaml": " \n"}), "there is no text"},
		{"bytes", &corev1.ConfigMap{BinaryData: map[string][]byte{"mark.yaml": {0xff}}}, "it holds bytes; want text, in UTF-8"},
		{"long", texts(map[string]string{"mark.yaml": strings.Repeat("#", 64<<10+1)}), "the text is 65537 bytes long; want at most 65536"},
		{"as long as can be", texts(map[string]string{"mark.yaml": strings.Repeat("#", 64<<10)}), ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			inj := made("default", "default", 1)
			fromConfigMap(inj)
			read := map[string]*corev1.ConfigMap{}
			if row.cm != nil {
				read["texts"] = row.cm
			}
			faults := Sources{Namespace: "pillion-system"}.fill(inj, read)
			template := inj.Spec.Templates[0]
			if row.want == "" {
				if len(faults) > 0 || template.ConfigMapRef != nil || template.Inline == "" {
					t.Errorf("faults %v, template %+v; want the text in it", faults, template)
				}
				return
			}
			if got := faults["mark"]; len(got) != 1 || !strings.Contains(got[0].Message, row.want) {
				t.Errorf("faults %v; want %q", faults, row.want)
			}
		})
	}
}

func TestTextsTogetherAreBounded(t *testing.T) {
	inj := made("default", "default", 1)
	for i := range 5 {
		inj.Spec.Templates = append(inj.Spec.Templates, v1alpha1.Template{Name: fmt.Sprint("t", i),
			ConfigMapRef: &v1alpha1.ConfigMapKey{Name: "texts", Key: "long"}})
	}
	cm := texts(map[string]string{"long": strings.Repeat("#", 60<<10)})
	faults := Sources{}.fill(inj, map[string]*corev1.ConfigMap{"texts": cm})
	if len(faults) != 1 || !strings.Contains(faults["t4"][0].Message, "307200 bytes long together; want at most 262144") {
		t.Errorf("faults %v; want one, of the fifth", faults)
	}
}

// TestConfigMapIsFollowed: the generation stays, status and what is served don't.
func TestConfigMapIsFollowed(t *testing.T) {
	ctx := context.Background()
	inj := made("default", "default", 1)
	inj.UID = "u1"
	fromConfigMap(inj)
	w := newWorld(t, inj)
	write := func(data map[string]string) {
		t.Helper()
		cm := texts(data)
		if err := w.api.Update(ctx, cm); err != nil {
			w.must(w.api.Create(ctx, cm))
		}
		w.must(w.reconcile("default"))
	}
	wants := func(state, reason, message string) string {
		t.Helper()
		c, status := w.condition("default", v1alpha1.ConditionTemplatesReady), w.get("default").Status
		if c.Reason != reason || !strings.Contains(c.Message, message) {
			t.Errorf("%s: TemplatesReady is %+v; want %s with %q", state, c, reason, message)
		}
		for _, template := range status.Templates {
			if template.Name == "mark" && template.Ready != (reason == reasonCompiled) {
				t.Errorf("%s: status of the template: %+v", state, template)
			}
		}
		return status.Hash
	}
	w.must(w.reconcile("default"))
	wants("never there", reasonCompileError, "texts doesn't exist; make it, or put the text into inline; no earlier version is known")
	write(mark("one"))
	one := wants("made", reasonCompiled, "")
	write(mark("two"))
	two := wants("changed", reasonCompiled, "")
	if one == two || one == "" {
		t.Errorf("hashes %q and %q of two texts", one, two)
	}
	write(mark("${pod.nmae}"))
	if hash := wants("broken", reasonCompileError, `template "mark" line 3`); hash != two {
		t.Errorf("served is %q while the text is broken; want %q", hash, two)
	}
	w.must(w.api.Delete(ctx, texts(nil)))
	w.restart() // nothing is remembered but the last good copy
	w.must(w.reconcile("default"))
	if hash := wants("gone, after a restart", reasonCompileError, "doesn't exist; make it, or put the text into inline; the last good version stays in use"); hash != two {
		t.Errorf("served is %q after a restart without the ConfigMap; want %q", hash, two)
	}
	told := 0
	for _, e := range w.told {
		if e.Reason == reasonCompileError {
			told++
		}
	}
	if told != 3 {
		t.Errorf("%d Events of 3 faults: %+v", told, w.told)
	}
}

func TestUnreadableConfigMapIsTriedAgain(t *testing.T) {
	inj := made("default", "default", 1)
	fromConfigMap(inj)
	w := newWorld(t, inj)
	w.must(w.api.Create(context.Background(), texts(mark("one"))))
	w.c.Compiler.Sources.Live = unreadable{w.api}
	if err := w.reconcile("default"); err == nil || !strings.Contains(err.Error(), "reading the templates in ConfigMap pillion-system/texts: etcd is away") {
		t.Errorf("error %v: it wouldn't be tried again", err)
	}
	w.c.Compiler.Sources.Live = w.api
	w.must(w.reconcile("default"))
	if c := w.condition("default", v1alpha1.ConditionTemplatesReady); c.Reason != reasonCompiled {
		t.Errorf("after the next try: %+v", c)
	}
}

type unreadable struct{ client.Reader }

func (unreadable) Get(context.Context, client.ObjectKey, client.Object, ...client.GetOption) error {
	return errors.New("etcd is away")
}

func TestOnlyConfigMapsThatAreReferredToCauseACompile(t *testing.T) {
	inj := made("default", "default", 1)
	fromConfigMap(inj)
	w := newWorld(t, inj)
	other := texts(nil)
	other.Name = "other"
	if got := w.c.referring(context.Background(), other); len(got) != 0 {
		t.Errorf("another ConfigMap: %v", got)
	}
	if got := w.c.referring(context.Background(), texts(nil)); len(got) != 1 {
		t.Errorf("the one referred to: %v", got)
	}
}

func TestCheck(t *testing.T) {
	for _, row := range []struct {
		name                    string
		change                  func(*v1alpha1.Injector)
		cm                      map[string]string
		invalid, fault, warning string
	}{
		{"good", func(*v1alpha1.Injector) {}, nil, "", "", ""},
		{"invalid", func(i *v1alpha1.Injector) { i.Spec.Capture.ExcludeInboundPorts = "x" }, nil, "excludeInboundPorts", "", ""},
		{"faulty", broken, nil, "", "line 3", ""},
		{"a ConfigMap that isn't there yet", fromConfigMap, nil, "", "", `template "mark": ConfigMap pillion-system/texts doesn't exist`},
		{"a ConfigMap that is faulty", fromConfigMap, mark("${pod.nmae}"), "", "", `template "mark" line 3`},
		{"a ConfigMap that is good", fromConfigMap, mark("one"), "", "", ""},
		{"both", func(i *v1alpha1.Injector) {
			fromConfigMap(i)
			i.Spec.Templates = append(i.Spec.Templates, v1alpha1.Template{Name: "other", Inline: "x: ${"})
		}, nil, "", `template "other"`, "doesn't exist"},
		{"another operator's", func(i *v1alpha1.Injector) {
			broken(i)
			i.Spec.Revision = "elsewhere"
		}, nil, "", "", ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			w := newWorld(t)
			w.c.Compiler.Revisions = Revisions{"mine"}
			if row.cm != nil {
				w.must(w.api.Create(context.Background(), texts(row.cm)))
			}
			inj := made("i", "mine", 1)
			row.change(inj)
			invalid, fault, warnings, err := w.c.Compiler.Check(context.Background(), inj)
			w.must(err)
			faultText := ""
			if fault != nil {
				faultText = fault.Error()
			}
			for _, c := range []struct{ kind, got, want string }{
				{"invalid", fmt.Sprint(invalid.ToAggregate()), row.invalid}, {"fault", faultText, row.fault}, {"warnings", strings.Join(warnings, "; "), row.warning},
			} {
				if !strings.Contains(c.got, c.want) || c.want == "" && c.got != "" && c.got != "<nil>" {
					t.Errorf("%s %q, want %q", c.kind, c.got, c.want)
				}
			}
			if w.c.Compiler.State() != nil {
				t.Error("what isn't written yet is in use")
			}
		})
	}
}
