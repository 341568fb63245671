package servingcert

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

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

func (c *Controller) syncSecretOnce(ctx context.Context) error {
	secret, f, err := c.read(ctx)
	if err != nil {
		return err
	}
	c.mu.Lock()
	memory := c.stored
	c.mu.Unlock()
	act := plan(memory.Active, f, c.Leader(), c.Now())
	if f.exists && f.fault != nil {
		c.Log.Info("serving CA in its Secret can't be used", "secret", secret.Name, "why", f.fault.Error(), "action", act)
	}
	switch act {
	case adopt:
		c.take(f.stored)
		return nil
	case wait:
		if memory.Active == nil {
			return fmt.Errorf("serving CA: Secret %s/%s has no usable CA and this replica isn't the leader that may replace it",
				secret.Namespace, secret.Name)
		}
		return nil
	case restore:
		return c.write(ctx, secret, memory, f.exists)
	case create:
		return c.replace(ctx, secret, f)
	default: // renew
		if err := c.replace(ctx, secret, f); err != nil {
			return err
		}
		c.metrics.rotations.WithLabelValues("recovered").Inc()
		c.Event("ServingCARecovered", "the webhook's CA had expired or could not be used; a new one is in place")
		return nil
	}
}

func (c *Controller) read(ctx context.Context) (*corev1.Secret, found, error) {
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: SecretName(c.Service), Namespace: c.Namespace}}
	err := c.Live.Get(ctx, client.ObjectKeyFromObject(secret), secret)
	if apierrors.IsNotFound(err) {
		return secret, found{}, nil
	}
	if err != nil {
		return secret, found{}, fmt.Errorf("reading Secret %s/%s: %w", c.Namespace, secret.Name, err)
	}
	f := found{exists: true}
	f.stored, f.salvaged, f.fault = decode(secret.Data)
	return secret, f, nil
}

// replace makes a new CA. The old one's certificate stays trusted while other replicas may serve leaves of it.
func (c *Controller) replace(ctx context.Context, secret *corev1.Secret, f found) error {
	ca, err := newCA(c.Service, c.CADuration, c.Now())
	if err != nil {
		return err
	}
	s := stored{Active: ca, Prev: f.stored.Prev}
	if old := f.salvaged; old != nil && validAt(old, c.Now()) {
		s.Prev = old
	}
	if err := c.write(ctx, secret, s, f.exists); err != nil {
		return err
	}
	c.take(s)
	return nil
}

// write creates or updates the Secret. A lost race comes back as AlreadyExists or Conflict.
func (c *Controller) write(ctx context.Context, secret *corev1.Secret, s stored, exists bool) error {
	if err := s.encode(secret, c.Now()); err != nil {
		return err
	}
	var err error
	if exists {
		err = c.Client.Update(ctx, secret) // with the resourceVersion read: two leaders can't both win
	} else {
		secret.ResourceVersion, secret.UID = "", ""
		secret.Labels = map[string]string{"app.kubernetes.io/name": "pillion", "app.kubernetes.io/component": "serving-ca"}
		err = c.Client.Create(ctx, secret)
	}
	if err != nil {
		return fmt.Errorf("writing Secret %s/%s: %w", secret.Namespace, secret.Name, err)
	}
	c.Log.Info("serving CA written", "secret", secret.Name, "fingerprint", fingerprint(s.Active.Cert.Raw))
	return nil
}

func (c *Controller) take(s stored) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.stored.Active == nil || !c.stored.Active.Cert.Equal(s.Active.Cert) {
		c.Log.Info("serving CA taken into use", "fingerprint", fingerprint(s.Active.Cert.Raw), "notAfter", s.Active.Cert.NotAfter)
	}
	c.stored = s
}

func fingerprint(der []byte) string {
	sum := sha256.Sum256(der)
	return "sha256:" + hex.EncodeToString(sum[:])
}
