package inject

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/strategicpatch"

	"github.com/pillion-mesh/pillion/internal/inject/rawjson"
)

// TestMergeIsStrategic compares merge with the API machinery's strategic merge patch on random pods, which hold one
// member of each union: there the two differ on purpose (TestMergeIsStricterThanStrategic). The order of keyed
// lists is left out: there the two agree on what, not on where.
func TestMergeIsStrategic(t *testing.T) {
	for seed := range uint64(2000) {
		r := rand.New(rand.NewPCG(seed, 1))
		base, overlay := randomPod(r), randomPod(r)
		want, err := strategicpatch.StrategicMergePatch([]byte(base), []byte(overlay), corev1.Pod{})
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		b, errB := rawjson.Parse(base)
		o, errO := rawjson.Parse(overlay)
		if errB != nil || errO != nil {
			t.Fatal(errB, errO)
		}
		got := merge(b, o, podSchema).String()
		if a, c := sortedLists(t, got), sortedLists(t, string(want)); a != c {
			t.Fatalf("seed %d:\n%s\n+ %s\n= %s\nwant %s", seed, base, overlay, a, c)
		}
	}
}

// sortedLists is a document with every list of objects in the order of its items' text.
func sortedLists(t *testing.T, text string) string {
	t.Helper()
	var doc any
	if err := json.Unmarshal([]byte(text), &doc); err != nil {
		t.Fatal(err)
	}
	out, err := json.Marshal(sortLists(doc))
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

func sortLists(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for k, item := range v {
			v[k] = sortLists(item)
		}
	case []any:
		for i, item := range v {
			v[i] = sortLists(item)
		}
		if len(v) > 0 {
			if _, objects := v[0].(map[string]any); objects {
				slices.SortFunc(v, func(a, b any) int {
					x, _ := json.Marshal(a)
					y, _ := json.Marshal(b)
					return bytes.Compare(x, y)
				})
			}
		}
	}
	return v
}

// randomPod is part of a pod, of few names so that two of them meet.
func randomPod(r *rand.Rand) string {
	pick := func(format string, n int) string {
		var items []string
		for i := range 3 {
			if r.IntN(2) == 0 {
				items = append(items, fmt.Sprintf(format, i, r.IntN(n)))
			}
		}
		out := ""
		for i, item := range items {
			if i > 0 {
				out += ","
			}
			out += item
		}
		return out
	}
	container := func(name string) string {
		return fmt.Sprintf(`{"name":%q,"image":"i%d","args":["a%d"],"env":[%s],"ports":[%s],"volumeMounts":[%s],"resources":{"limits":{%s}}}`,
			name, r.IntN(2), r.IntN(3), pick(`{"name":"E%d","value":"%d"}`, 2), pick(`{"containerPort":8%d,"name":"p%d"}`, 2),
			pick(`{"mountPath":"/m%d","name":"v%d"}`, 2), pick(`"l%d":"%d"`, 3))
	}
	return fmt.Sprintf(`{"metadata":{"labels":{%s}},"spec":{"nodeName":"n%d","containers":[%s,%s],"volumes":[%s],"imagePullSecrets":[{"name":"s%d"}],"tolerations":[{"key":"k%d"}],"nodeSelector":{%s}}}`,
		pick(`"l%d":"%d"`, 3), r.IntN(3), container(fmt.Sprintf("c%d", r.IntN(2))), container(fmt.Sprintf("d%d", r.IntN(2))),
		pick(`{"name":"v%d","emptyDir":{"medium":"m%d"}}`, 2), r.IntN(2), r.IntN(2), pick(`"n%d":"%d"`, 3))
}

// TestPatchesLeadThere makes random pods into each other.
func TestPatchesLeadThere(t *testing.T) {
	for seed := range uint64(1000) {
		r := rand.New(rand.NewPCG(seed, 2))
		from, errF := rawjson.Parse(randomPod(r))
		to, errT := rawjson.Parse(randomPod(r))
		if errF != nil || errT != nil {
			t.Fatal(errF, errT)
		}
		patch := makePatch(from, to)
		if patch == nil {
			continue
		}
		got, err := applyForTest(from.String(), patch)
		if err != nil {
			t.Fatalf("seed %d: %v\n%s", seed, err, patch)
		}
		result, err := rawjson.Parse(got)
		if err != nil || !rawjson.Equal(result, to) {
			t.Fatalf("seed %d: %s\n+ %s\n= %s\nwant %s", seed, from, patch, got, to)
		}
	}
}

// TestMergeOfManyIsMergeOfFew: lists and objects long enough for an index are merged as short ones are.
func TestMergeOfManyIsMergeOfFew(t *testing.T) {
	for seed := range uint64(20) {
		r := rand.New(rand.NewPCG(seed, 3))
		base, overlay := manyEnv(r), manyEnv(r)
		want, err := strategicpatch.StrategicMergePatch([]byte(base), []byte(overlay), corev1.Pod{})
		if err != nil {
			t.Fatal(err)
		}
		b, errB := rawjson.Parse(base)
		o, errO := rawjson.Parse(overlay)
		if errB != nil || errO != nil {
			t.Fatal(errB, errO)
		}
		merged := merge(b, o, podSchema)
		if a, c := sortedLists(t, merged.String()), sortedLists(t, string(want)); a != c {
			t.Fatalf("seed %d:\n%s\nwant %s", seed, a, c)
		}
		patched, err := applyForTest(base, makePatch(b, merged))
		result, errR := rawjson.Parse(patched)
		if err != nil || errR != nil || !rawjson.Equal(result, merged) {
			t.Fatalf("seed %d: the patch leads to %s (%v, %v)", seed, patched, err, errR)
		}
		if again := adopt(merged, o, podSchema); again != merged {
			t.Fatalf("seed %d: adopting what is there already changes it", seed)
		}
	}
}

// manyEnv is a pod with some of 200 labels and some of 200 variables.
func manyEnv(r *rand.Rand) string {
	var labels, env []string
	for _, i := range r.Perm(200) {
		if r.IntN(2) == 0 {
			labels = append(labels, fmt.Sprintf(`"l%d":"%d"`, i, r.IntN(3)))
		}
		if r.IntN(2) == 0 {
			env = append(env, fmt.Sprintf(`{"name":"E%d","value":"%d"}`, i, r.IntN(3)))
		}
	}
	return fmt.Sprintf(`{"metadata":{"labels":{%s}},"spec":{"containers":[{"name":"istio-proxy","env":[%s]}]}}`,
		strings.Join(labels, ","), strings.Join(env, ","))
}

// TestPlacesHaveAnIndexWhenMany: without it a pod of many parts takes the square of their number.
func TestPlacesHaveAnIndexWhenMany(t *testing.T) {
	compared := 0
	keyOf := func(s string) string { compared++; return s }
	list := make([]string, 1000)
	for i := range list {
		list[i] = fmt.Sprint(i)
	}
	p := placesOf(len(list), list, keyOf)
	for i, s := range list {
		if p.find(list, s) != i {
			t.Fatalf("%q is found at %d", s, p.find(list, s))
		}
	}
	if compared > len(list) {
		t.Errorf("%d keys taken for %d look-ups", compared, len(list))
	}
}
