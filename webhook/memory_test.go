package webhook_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/pillion-mesh/pillion/internal/inject"
	"github.com/pillion-mesh/pillion/internal/inject/injecttest"
	"github.com/pillion-mesh/pillion/webhook"
)

// keeper is everything outside of the handler, and keeps all it is told: the value, and what it said then.
type keeper struct {
	mu   sync.Mutex
	kept []kept
}

type kept struct {
	value any
	said  string
}

func (k *keeper) keep(value any) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.kept = append(k.kept, kept{value, fmt.Sprintf("%+v", value)})
}

func (k *keeper) Event(e webhook.Event) { k.keep(e) }

func (k *keeper) native(node string) bool {
	k.keep(node)
	return false
}

func (k *keeper) Namespace(_ context.Context, name string) (inject.Namespace, error) {
	k.keep(name)
	return inject.Namespace{Name: name, Labels: map[string]string{"istio-injection": "enabled"}}, nil
}

// reviewsOfAllSizes differ in length, namespace, names and what becomes of them.
func reviewsOfAllSizes() (all [][]byte) {
	for i, edit := range [][2]string{
		{"", ""},
		{`"restartPolicy"`, `"hostNetwork":true,"nodeName":"node-1","restartPolicy"`},
		{`"labels":{`, `"labels":{"sidecar.istio.io/inject":"false",`},
		{`"labels":{`, `"labels":{"sidecar.istio.io/inject":"perhaps",`},
		{`"checksum/config"`, `"sidecar.istio.io/proxyCPU"`},
		{`"checksum/config"`, `"sidecar.istio.io/proxyCPUs"`},
		{`"checksum/config"`, `"sidecar.istio.io/\u0073tatus"`},
		{`"metadata":{"generate`, `"metadata":7,"m":{"generate`},
	} {
		for _, env := range []int{0, 5, 80, 200, 1500} { // of 3 kB, 8 kB and more, a block and more
			text := strings.Replace(string(injecttest.Review(injecttest.TypicalPod(env+i))), edit[0], edit[1], 1)
			text = strings.ReplaceAll(strings.ReplaceAll(text, `"shop"`, fmt.Sprintf(`"shop-%d"`, i)), "reviews-v1-", fmt.Sprintf("reviews%d-v1-", env))
			all = append(all, []byte(text))
		}
	}
	return all
}

// TestMemoryIsUsedAgain: requests that use the same memory in turn get the answers they get alone, and nothing of a
// request is kept anywhere as a view of that memory.
func TestMemoryIsUsedAgain(t *testing.T) {
	reviews := reviewsOfAllSizes()
	set := newSet(t)
	options := func(k *keeper) webhook.Options {
		return webhook.Options{Set: func() *inject.Set { return set }, Events: k, Namespaces: k, Native: k.native}
	}
	var alone []string
	for _, review := range reviews {
		alone = append(alone, post(newHandler(t, options(&keeper{})), entryPath, review).Body.String())
	}
	var k keeper
	h := newHandler(t, options(&k))
	var wait sync.WaitGroup
	for first := range 4 {
		wait.Go(func() {
			for n := range 2 * len(reviews) {
				i := (first*7 + n*(2*first+1)) % len(reviews)
				if got := post(h, entryPath, reviews[i]).Body.String(); got != alone[i] {
					t.Errorf("review %d got %s, alone it gets %s", i, got, alone[i])
				}
			}
		})
	}
	wait.Wait()
	if len(k.kept) < 4*len(reviews) {
		t.Fatalf("only %d facts were told", len(k.kept))
	}
	for _, kept := range k.kept {
		if now := fmt.Sprintf("%+v", kept.value); now != kept.said {
			t.Fatalf("what was %s became %s", kept.said, now)
		}
	}
}
