package servingcert

import (
	"context"
	"errors"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/pillion-mesh/pillion/internal/controller/servingcert/rotation"
)

// patienceMissing is how many looks a replica that knows nothing leaves to those who remember what the Secret said.
const patienceMissing = 3

// syncSecret brings Secret and memory together. A write lost against another replica is read again at once.
func (c *Controller) syncSecret(ctx context.Context) error {
	var err error
	for range 3 {
		err = c.syncSecretOnce(ctx)
		if !apierrors.IsAlreadyExists(err) && !apierrors.IsConflict(err) {
			break
		}
	}
	return err
}

// found is what a read of the Secret gave.
type found struct {
	secret *corev1.Secret
	exists bool
	stored stored
	fault  error // what of it couldn't be read
}

func (c *Controller) syncSecretOnce(ctx context.Context) error {
	f, err := c.read(ctx)
	if err != nil {
		return err
	}
	memory := c.remembered()
	want := with(rotation.Salvage(memory.State, f.stored.State, c.Now()), f.stored, memory)
	c.tellFault(f, want)
	var actions []rotation.Action
	switch {
	case !f.exists && want.Active.None():
		want, _, err = c.lead(ctx, f, want)
		if err == nil && !want.Active.None() && c.othersMayRemember(ctx) {
			return fmt.Errorf("serving CA: Secret %s/%s is gone; waiting for a replica that remembers it", c.Namespace, f.secret.Name)
		}
	case c.Leader():
		want, actions, err = c.lead(ctx, f, want)
	default:
		c.leading = nil
	}
	if err != nil {
		return err
	}
	if want.Active.None() {
		return c.helpless(f)
	}
	if err := c.put(ctx, f, want); err != nil {
		return err
	}
	c.tell(memory, want, actions)
	return nil
}

// helpless says why there is nothing to serve.
func (c *Controller) helpless(f found) error {
	switch {
	case !c.Known():
		return errors.New("serving certificate: waiting until every Injector was read, which say who issues it")
	case c.refused != nil:
		return fmt.Errorf("serving certificate: %w", c.refused)
	case c.Leader():
		return fmt.Errorf("serving CA: Secret %s/%s has none and none could be made", c.Namespace, f.secret.Name)
	}
	return fmt.Errorf("serving CA: Secret %s/%s has no usable CA and this replica isn't the leader that may replace it", c.Namespace, f.secret.Name)
}

// othersMayRemember is true for the first looks without a Secret where API servers already know some CA of ours.
func (c *Controller) othersMayRemember(ctx context.Context) bool {
	if c.missing++; c.missing > patienceMissing {
		return false
	}
	entries, err := c.claimed(ctx, c.Live)
	for _, e := range entries {
		if len(e.caBundle) > 0 {
			return true
		}
	}
	return err != nil
}

func (c *Controller) remembered() stored {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.stored
}

func (c *Controller) read(ctx context.Context) (found, error) {
	f := found{secret: &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: SecretName(c.Service), Namespace: c.Namespace}}}
	err := c.Live.Get(ctx, client.ObjectKeyFromObject(f.secret), f.secret)
	switch {
	case apierrors.IsNotFound(err):
		f.secret = &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: SecretName(c.Service), Namespace: c.Namespace}}
		return f, nil
	case err != nil:
		return f, fmt.Errorf("reading Secret %s/%s: %w", c.Namespace, f.secret.Name, err)
	}
	f.exists = true
	f.stored, f.fault = decode(f.secret)
	return f, nil
}

// put makes Secret and memory say want. The write has the resourceVersion that was read, so that it can't undo another
// replica's.
func (c *Controller) put(ctx context.Context, f found, want stored) error {
	if !f.exists || !want.says(f.stored) {
		if err := want.encode(f.secret); err != nil {
			return err
		}
		if err := c.write(ctx, f); err != nil {
			return fmt.Errorf("writing Secret %s/%s: %w", c.Namespace, f.secret.Name, err)
		}
	}
	c.take(want)
	return nil
}

func (c *Controller) write(ctx context.Context, f found) error {
	if f.exists {
		return c.Client.Update(ctx, f.secret)
	}
	f.secret.Type = corev1.SecretTypeOpaque
	f.secret.Labels = map[string]string{"app.kubernetes.io/name": "pillion"}
	return c.Client.Create(ctx, f.secret)
}

// says is true if s and o are the same state with the same keys.
func (s stored) says(o stored) bool {
	if !s.Same(o.State) {
		return false
	}
	for _, id := range []rotation.ID{s.Active.ID, s.Next.ID} {
		if a, b := s.cas[id], o.cas[id]; a != nil && b != nil && (a.Key == nil) != (b.Key == nil) {
			return false
		}
	}
	return true
}

// take remembers what the Secret says.
func (c *Controller) take(s stored) {
	c.missing = 0
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.stored.Active.ID != s.Active.ID {
		c.jitter = c.Jitter()
	}
	c.stored = s
}

// make makes a CA of ours, which is added to known.
func (c *Controller) make(known *stored, fault *error) func() rotation.CA {
	return func() rotation.CA {
		a, err := newCA(c.Service, c.Settings().SelfManaged.CADuration.Duration, c.Now())
		if err != nil {
			*fault = errors.Join(*fault, err)
			return rotation.CA{}
		}
		return known.add(a)
	}
}
