package rotation

import (
	"context"
	"crypto/x509"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/pillion-mesh/pillion/api/v1alpha1"
	"github.com/pillion-mesh/pillion/internal/controller/servingcert/rotation"
)

// step is one change of phase, as the Secret told it.
type step struct {
	phase rotation.Phase
	count string
	at    time.Time
}

// steps are all of them so far.
type steps struct {
	mu   sync.Mutex
	all  []step
	more chan struct{} // closed and replaced at each
}

// follow notes each phase from now on, also over an API server's restart.
func (w *world) follow() *steps {
	s := &steps{more: make(chan struct{})}
	ctx, cancel := context.WithCancel(context.Background())
	var wait sync.WaitGroup
	wait.Go(func() {
		for ctx.Err() == nil {
			w.followOnce(ctx, s)
			time.Sleep(20 * time.Millisecond)
		}
	})
	w.T.Cleanup(func() { cancel(); wait.Wait() })
	return s
}

// followOnce lists before it watches: a watch alone begins with the next change.
func (w *world) followOnce(ctx context.Context, s *steps) {
	only := &client.ListOptions{Namespace: w.Namespace, FieldSelector: fields.OneTermEqualSelector("metadata.name", v1alpha1.ServingCASecret("pillion"))}
	var list corev1.SecretList
	if err := w.Client.List(ctx, &list, only); err != nil {
		return
	}
	for _, secret := range list.Items {
		s.note(secret.Annotations)
	}
	only.Raw = &metav1.ListOptions{ResourceVersion: list.ResourceVersion}
	watch, err := w.Client.Watch(ctx, &corev1.SecretList{}, only)
	if err != nil {
		return
	}
	defer watch.Stop()
	for event := range watch.ResultChan() {
		if secret, ok := event.Object.(*corev1.Secret); ok {
			s.note(secret.Annotations)
		}
	}
}

func (s *steps) note(annotations map[string]string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := step{rotation.Phase(annotations[v1alpha1.AnnotationPhase]), annotations[v1alpha1.AnnotationRotation], time.Now()}
	if n := len(s.all); n > 0 && s.all[n-1].phase == now.phase && s.all[n-1].count == now.count {
		return
	}
	s.all = append(s.all, now)
	close(s.more)
	s.more = make(chan struct{})
}

func (s *steps) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.all)
}

// find is whether a phase came after mark, and a channel that tells of the next one.
func (s *steps) find(mark int, phase rotation.Phase) (bool, <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.ContainsFunc(s.all[mark:], func(one step) bool { return one.phase == phase }), s.more
}

// since is what happened after mark, and how long each phase lasted.
func (s *steps) since(mark int) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var text []string
	for i := mark; i < len(s.all); i++ {
		one := string(s.all[i].phase)
		if i+1 < len(s.all) {
			one += fmt.Sprintf(" %dms", s.all[i+1].at.Sub(s.all[i].at).Milliseconds())
		}
		text = append(text, one)
	}
	return strings.Join(text, ", ")
}

// patience is for a machine that does much else; nothing is judged by it.
const patience = 3 * time.Minute

// reach waits until a phase is entered that wasn't at mark. It returns within a moment of that.
func (w *world) reach(mark int, phase rotation.Phase) {
	w.T.Helper()
	timer := time.NewTimer(patience)
	defer timer.Stop()
	for {
		found, more := w.steps.find(mark, phase)
		if found {
			return
		}
		select {
		case <-more:
		case <-timer.C:
			w.T.Fatalf("waited %s for phase %s; since then: %s", patience, phase, w.steps.since(mark))
		}
	}
}

// serves is an error unless a replica shows a leaf of that CA.
func (w *world) serves(r *replica, ca []byte) error {
	ctx, cancel := context.WithTimeout(w.Ctx(), 2*time.Second)
	defer cancel()
	leaf, err := r.Presented(ctx, "pillion."+w.Namespace+".svc")
	if err != nil {
		return fmt.Errorf("replica %s: %w", r.Name, err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca)
	if _, err := leaf.Verify(x509.VerifyOptions{Roots: roots}); err != nil {
		return fmt.Errorf("replica %s: %w", r.Name, err)
	}
	return nil
}

// times tells when each phase began, for the reader of failures.
func (s *steps) times() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var text []string
	for _, one := range s.all {
		text = append(text, one.at.Format("05.000")+" "+string(one.phase))
	}
	return strings.Join(text, ", ")
}

// now is the present phase.
func (s *steps) now() rotation.Phase {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.all[len(s.all)-1].phase
}
