package rotation

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/pillion-mesh/pillion/test/integration/operatortest"
)

const (
	every  = 20 * time.Millisecond // a creation, if the machine can
	atOnce = 8
	stored = 8 // one in so many is no dry run
	last   = 20
)

// traffic is the client, and what became of its pods.
type traffic struct {
	mu       sync.Mutex
	tried    int
	stored   int
	forgiven int       // calls that were inside replicas that were killed
	lost     []failure // whose connection broke in the middle of a call
	down     []failure // for which there was no API server
	refused  []failure // all others

	stop context.CancelFunc
	wait sync.WaitGroup
}

type failure struct {
	at   time.Time
	text string
}

// create makes pods until the test ends.
func (w *world) create(namespace string) *traffic {
	w.T.Helper()
	w.Injected(namespace)
	ctx, cancel := context.WithCancel(w.Ctx())
	c := &traffic{stop: cancel}
	c.wait.Go(func() { c.run(ctx, w, namespace) })
	w.T.Cleanup(c.end)
	return c
}

func (c *traffic) end() {
	c.stop()
	c.wait.Wait()
}

func (c *traffic) run(ctx context.Context, w *world, namespace string) {
	ticker, free := time.NewTicker(every), make(chan struct{}, atOnce)
	defer ticker.Stop()
	for n := 0; ; {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		select {
		case free <- struct{}{}:
			n++
			keep := n%stored == 0
			c.wait.Go(func() {
				c.note(w.try(namespace, keep), keep)
				<-free
			})
		default:
		}
	}
}

// try creates one pod. It doesn't end with the client: a call that was cut short would tell nothing.
func (w *world) try(namespace string, keep bool) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	pod, options := operatortest.Pod(namespace), []client.CreateOption{client.DryRunAll}
	if keep {
		options = nil
	}
	if err := w.Client.Create(ctx, pod, options...); err != nil {
		return err
	}
	if keep {
		_ = w.Client.Delete(ctx, pod.DeepCopy(), client.GracePeriodSeconds(0)) // its namespace goes anyway
	}
	if !operatortest.HasProxy(pod) {
		return errors.New("admitted without a sidecar")
	}
	return nil
}

func (c *traffic) note(err error, keep bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.tried++
	if keep {
		c.stored++
	}
	if err == nil {
		return
	}
	f := failure{time.Now(), err.Error()}
	switch {
	case noServer(err):
		c.down = append(c.down, f)
	case broken(err):
		c.lost = append(c.lost, f)
	default:
		c.refused = append(c.refused, f)
	}
}

// noServer says that it was the API server that couldn't answer: there is no answer at all, or one that it gives before
// it asks any webhook, because it is starting or ending. Whatever it says of a webhook is no such thing.
func noServer(err error) bool {
	var status apierrors.APIStatus
	if !errors.As(err, &status) {
		return true
	}
	text := err.Error()
	if strings.Contains(text, "webhook") {
		return false
	}
	return apierrors.IsServiceUnavailable(err) || apierrors.IsTooManyRequests(err) || strings.Contains(text, "not yet ready to handle request") ||
		strings.Contains(text, "etcd") || strings.Contains(text, "shutting down") || apierrors.IsTimeout(err)
}

// broken says that a call ended with its connection, after which no API server tries again. A certificate that isn't
// trusted is told by other words.
func broken(err error) bool {
	text := err.Error()
	return strings.Contains(text, "failed calling webhook") && !strings.Contains(text, "x509") && !strings.Contains(text, "tls:") &&
		(strings.HasSuffix(text, "EOF") || strings.Contains(text, "connection reset by peer"))
}

// forgive allows for calls that were inside a replica when it was killed.
func (c *traffic) forgive(calls int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.forgiven += calls
}

func (c *traffic) count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.tried
}

func (c *traffic) String() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return fmt.Sprintf("%d pods (%d stored), %d failures; %d calls were inside killed replicas, %d of them failed; %d found no API server",
		c.tried, c.stored, len(c.refused)+max(0, len(c.lost)-c.forgiven), c.forgiven, min(len(c.lost), c.forgiven), len(c.down))
}

// noLoss ends the client and fails the test if a creation failed that had no right to.
func (w *world) noLoss() {
	w.T.Helper()
	w.finish()
	w.judge()
}

func (w *world) judge() {
	w.T.Helper()
	c := w.traffic
	if len(c.refused) > 0 || len(c.lost) > c.forgiven {
		w.T.Errorf("creations failed; phases: %s\n%s", w.steps.times(), texts(append(c.refused, c.lost...)))
	}
	if len(c.down) > 0 {
		w.T.Errorf("the API server was down: %s", texts(c.down))
	}
}

// finish ends the client when what happened last had time to show.
func (w *world) finish() {
	w.T.Helper()
	enough := w.traffic.count() + last
	w.Eventually("some more pods are created", func() error {
		if n := w.traffic.count(); n < enough {
			return fmt.Errorf("%d of %d", n, enough)
		}
		return nil
	})
	w.traffic.end()
	w.T.Logf("%s", w.traffic)
}

func texts(all []failure) string {
	var b strings.Builder
	for i, f := range all {
		if i == 8 {
			fmt.Fprintf(&b, "and %d more", len(all)-i)
			break
		}
		fmt.Fprintf(&b, "%s %s\n", f.at.Format("05.000"), f.text)
	}
	return b.String()
}

// distrust is an error if an API server refused a certificate.
func (c *traffic) distrust() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, f := range c.refused {
		if strings.Contains(f.text, "x509") || strings.Contains(f.text, "tls:") {
			return errors.New(f.text)
		}
	}
	return nil
}
