package pairs

import (
	"context"
	"slices"
	"sync"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
)

// maxWatches is how many Secrets at once are worth an informer: the pair in use, and another during a change of source.
const maxWatches = 3

// Watches tells of changes of single Secrets. Each has an informer of its own: the permission to list and watch by
// resourceNames holds only for requests that select one name, and a manager's cache selects one thing for all Secrets of
// a namespace. What an informer may not read, it tries again for ever, less and less often; nothing waits for it.
//
// Its fields must be set; it isn't safe for concurrent use.
type Watches struct {
	Client    kubernetes.Interface
	Namespace string
	Changed   func() // called for each change, and once for each Secret that is there at the start; must not block
	Log       logr.Logger

	running map[string]watch
}

type watch struct {
	stop context.CancelFunc
	done *sync.WaitGroup
}

// Keep watches exactly the Secrets called names, none twice and no more than three, until ctx ends. Call Stop at the end.
func (w *Watches) Keep(ctx context.Context, names ...string) {
	names = slices.DeleteFunc(names, func(name string) bool { return name == "" })
	names = names[:min(len(names), maxWatches)]
	for name, running := range w.running {
		if !slices.Contains(names, name) {
			running.stop()
			running.done.Wait()
			delete(w.running, name)
		}
	}
	for _, name := range names {
		if _, ok := w.running[name]; !ok {
			w.start(ctx, name)
		}
	}
}

// Stop ends all and waits for them.
func (w *Watches) Stop() { w.Keep(context.Background()) }

func (w *Watches) start(ctx context.Context, name string) {
	one := fields.OneTermEqualSelector("metadata.name", name)
	source := cache.NewListWatchFromClient(w.Client.CoreV1().RESTClient(), "secrets", w.Namespace, one)
	informer := cache.NewSharedInformer(source, &corev1.Secret{}, 0)
	changed := func(any) { w.Changed() }
	// All three can only fail on an informer that has started or stopped.
	_ = informer.SetTransform(withoutData)
	_ = informer.SetWatchErrorHandlerWithContext(func(_ context.Context, _ *cache.Reflector, err error) {
		w.Log.V(1).Info("a Secret isn't watched for now", "namespace", w.Namespace, "secret", name, "error", err.Error())
	})
	_, _ = informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc: changed, DeleteFunc: changed, UpdateFunc: func(_, _ any) { w.Changed() },
	})
	ctx, stop := context.WithCancel(ctx)
	done := &sync.WaitGroup{}
	done.Go(func() { informer.RunWithContext(ctx) })
	if w.running == nil {
		w.running = map[string]watch{}
	}
	w.running[name] = watch{stop: stop, done: done}
}

// withoutData: an informer is for the news only, and a key needn't be in memory twice.
func withoutData(object any) (any, error) {
	if secret, ok := object.(*corev1.Secret); ok {
		secret.Data, secret.ManagedFields = nil, nil
	}
	return object, nil
}
