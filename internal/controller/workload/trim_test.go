package workload

import (
	"fmt"
	"reflect"
	"runtime"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/types"

	"github.com/pillion-mesh/pillion/internal/inject"
	"github.com/pillion-mesh/pillion/internal/istio"
)

// podMetadata is what an API server sends of a typical injected pod.
func podMetadata(i int) *metav1.PartialObjectMetadata {
	p := PodObject()
	p.ObjectMeta = metav1.ObjectMeta{
		Name: fmt.Sprintf("web-5d4f8c7b9d-%05d", i), GenerateName: "web-5d4f8c7b9d-", Namespace: fmt.Sprintf("team-%d", i%50),
		UID: types.UID(fmt.Sprintf("0c5f9a1e-2b7d-4a57-9f1b-%012d", i)), ResourceVersion: fmt.Sprint(100000 + i), CreationTimestamp: metav1.Now(),
		Labels: map[string]string{"app.kubernetes.io/name": "web", "app.kubernetes.io/version": "1.2.3", "pod-template-hash": "5d4f8c7b9d",
			"security.istio.io/tlsMode": "istio", "service.istio.io/canonical-name": "web", "service.istio.io/canonical-revision": "1.2.3"},
		Annotations: map[string]string{
			istio.AnnotationStatus:              `{"initContainers":["istio-init","istio-proxy"],"containers":null,"volumes":["workload-socket","istio-token"],"imagePullSecrets":null,"revision":"default"}`,
			inject.AnnotationInjector:           "default",
			inject.AnnotationInjectorHash:       "5f0c9a1e2b7d",
			"k8s.v1.cni.cncf.io/networks":       fmt.Sprintf(`[{"name":"default","ips":["10.0.%d.%d"]}]`, i/250, i%250),
			"prometheus.io/scrape":              "true",
			istio.LabelRevision:                 "default",
			"kubectl.kubernetes.io/restartedAt": "2026-03-27T12:00:00Z",
		},
		OwnerReferences: []metav1.OwnerReference{{APIVersion: "apps/v1", Kind: "ReplicaSet", Name: "web-5d4f8c7b9d",
			UID: types.UID(fmt.Sprintf("1c5f9a1e-2b7d-4a57-9f1b-%012d", i%500)), Controller: new(true), BlockOwnerDeletion: new(true)}},
		Finalizers:    []string{"example.com/finalizer"},
		ManagedFields: []metav1.ManagedFieldsEntry{{Manager: "kube-controller-manager", FieldsV1: metav1.NewFieldsV1(strings.Repeat(" ", 2000))}},
	}
	return p
}

func TestTrimKeepsWhatIsLookedAt(t *testing.T) {
	p := podMetadata(1)
	p.Annotations[inject.AnnotationEvict], p.Annotations[corev1.MirrorPodAnnotationKey] = "false", "mirror"
	p.DeletionTimestamp = new(metav1.Now())
	before := p.DeepCopy()
	result, err := Trim(p)
	if err != nil {
		t.Fatal(err)
	}
	trimmed, ok := result.(*metav1.PartialObjectMetadata)
	if !ok {
		t.Fatalf("Trim makes a %T of it", result)
	}
	for _, same := range [][2]any{
		{trimmed.Name, before.Name}, {trimmed.Namespace, before.Namespace}, {trimmed.UID, before.UID},
		{trimmed.ResourceVersion, before.ResourceVersion}, {trimmed.Labels, before.Labels}, {trimmed.TypeMeta, before.TypeMeta},
		{trimmed.CreationTimestamp, before.CreationTimestamp}, {trimmed.DeletionTimestamp, before.DeletionTimestamp},
		{ownerKey(trimmed), ownerKey(before)}, {reference(trimmed), reference(before)}, {replaceable(trimmed), replaceable(before)},
		{len(trimmed.Annotations), len(kept)}, {trimmed.Annotations[istio.AnnotationStatus], ""}, {len(trimmed.ManagedFields), 0},
	} {
		if !reflect.DeepEqual(same[0], same[1]) {
			t.Errorf("Trim made %v of %v", same[0], same[1])
		}
	}
	for _, other := range []any{nil, "text", &corev1.Pod{}} {
		if got, err := Trim(other); !reflect.DeepEqual(got, other) || err != nil {
			t.Errorf("Trim of %T: %v, %v", other, got, err)
		}
	}
}

func TestUnfinishedLeavesOutPodsThatEnded(t *testing.T) {
	for phase, want := range map[corev1.PodPhase]bool{corev1.PodPending: true, corev1.PodRunning: true, corev1.PodUnknown: true, corev1.PodSucceeded: false, corev1.PodFailed: false} {
		if got := Unfinished().Matches(fields.Set{"status.phase": string(phase)}); got != want {
			t.Errorf("phase %s: watched is %t", phase, got)
		}
	}
}

// BenchmarkPodMemory measures what 1,000 pods cost the leader's informer, trimmed and not.
func BenchmarkPodMemory(b *testing.B) {
	for _, trim := range []bool{true, false} {
		b.Run(fmt.Sprintf("trimmed=%t", trim), func(b *testing.B) {
			for range b.N {
				b.ReportMetric(float64(heapOf(10_000, trim))/10, "B/1000pods")
			}
		})
	}
}

func heapOf(pods int, trim bool) uint64 {
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	store := map[string]any{}
	for i := range pods {
		p := podMetadata(i)
		store[p.Namespace+"/"+p.Name] = p
		if trim {
			store[p.Namespace+"/"+p.Name], _ = Trim(p)
		}
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	runtime.KeepAlive(store)
	return after.HeapAlloc - before.HeapAlloc
}

// BenchmarkClassify measures a look at 10,000 pods.
func BenchmarkClassify(b *testing.B) {
	spaces := map[string]inject.Namespace{}
	for i := range 50 {
		spaces[fmt.Sprintf("team-%d", i)] = inject.Namespace{Labels: map[string]string{istio.LabelInjection: "enabled"}}
	}
	set := setOf(b, "default")
	pods := make([]*metav1.PartialObjectMetadata, 10_000)
	for i := range pods {
		pods[i] = podMetadata(i)
	}
	for b.Loop() {
		v := newView(set, spaces)
		for _, p := range pods {
			v.classify(p)
		}
	}
}
