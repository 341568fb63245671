package operator

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

func (e *env) caSecret() (*corev1.Secret, error) {
	s := &corev1.Secret{}
	return s, e.Client.Get(e.Ctx(), client.ObjectKey{Namespace: e.Namespace, Name: "pillion-serving-ca"}, s)
}

func TestSecretIsDeleted(t *testing.T) {
	e := newEnv(t)
	e.Injector()
	e.Ready(e.Start("a"))
	e.Serving("default")
	before, err := e.caSecret()
	must(t, err)
	stop := e.KeepCreating(e.Meshed())
	must(t, e.Client.Delete(e.Ctx(), before))
	e.Eventually("it is back with the same CA", func() error {
		now, err := e.caSecret()
		if err == nil && !bytes.Equal(now.Data["active.key"], before.Data["active.key"]) {
			err = errors.New("it has another key")
		}
		return err
	})
	stop(0)
}

func TestSecretIsSpoilt(t *testing.T) {
	e := newEnv(t)
	e.Injector()
	r := e.Start("a")
	e.Ready(r)
	e.Serving("default")
	before, err := e.caSecret()
	must(t, err)
	meshed := e.Meshed()
	stop := e.KeepCreating(meshed)
	for _, spoil := range []func(*corev1.Secret){
		func(s *corev1.Secret) { s.Data = nil },
		func(s *corev1.Secret) { s.Data["active.key"] = []byte("garbage") },
		func(s *corev1.Secret) { s.Data["active.crt"] = s.Data["active.crt"][:40] },
	} {
		now, err := e.caSecret()
		must(t, err)
		spoil(now)
		must(t, e.Client.Update(e.Ctx(), now))
		e.Eventually("memory heals it", func() error {
			healed, err := e.caSecret()
			if err == nil && !bytes.Equal(healed.Data["active.key"], before.Data["active.key"]) {
				err = errors.New("it isn't what it was")
			}
			return err
		})
	}
	stop(0)

	r.Kill()
	now, err := e.caSecret()
	must(t, err)
	now.Data["active.key"] = []byte("garbage")
	must(t, e.Client.Update(e.Ctx(), now))
	e.DropLease()
	r = e.Start("b") // remembers nothing, so it makes a new CA
	e.Ready(r)
	e.Injected(meshed)
	e.Event("ServingCARecovered", "a new one is in place")
	after, err := e.caSecret()
	must(t, err)
	if bytes.Equal(after.Data["active.crt"], before.Data["active.crt"]) || !bytes.Equal(after.Data["prev.crt"], before.Data["active.crt"]) {
		t.Error("want a new active certificate, and the old one as prev")
	}
}

func TestReadinessEndsWhenTheBundleDoesNotVerify(t *testing.T) {
	t.Parallel() // it waits long; in a cluster of its own
	e := newEnvIn(t, clusterName+"-ready")
	e.Injector()
	leader := e.Start("leader")
	e.Ready(leader)
	e.Serving("default")
	leader.Kill()
	e.DropLease()
	e.HoldLease()
	r := e.Start("follower") // can't repair
	e.Ready(r)
	live, err := e.Configuration(defaultConfiguration)
	must(t, err)
	good := live.Webhooks[0].ClientConfig.CABundle
	for i := range live.Webhooks {
		live.Webhooks[i].ClientConfig.CABundle = otherCA(t)
	}
	wiped := time.Now()
	must(t, e.Client.Update(e.Ctx(), live))
	e.Within(45*time.Second, "readiness goes", func() error {
		if err := r.Get(e.Ctx(), "/readyz"); err != nil && strings.Contains(err.Error(), "doesn't verify our certificate") {
			return nil
		}
		return errors.New("still ready")
	})
	if d := time.Since(wiped); d < 29*time.Second {
		t.Errorf("readiness went after %s: a wipe that is repaired at once would have emptied the Service", d)
	}
	live, err = e.Configuration(defaultConfiguration)
	must(t, err)
	live.Webhooks[0].ClientConfig.CABundle = good
	must(t, e.Client.Update(e.Ctx(), live))
	e.Ready(r)
}

// presented is the certificate a replica serves.
func presented(ctx context.Context, r *replica) (*tls.ConnectionState, error) {
	dialer := tls.Dialer{Config: &tls.Config{InsecureSkipVerify: true, ServerName: "pillion.pillion-system.svc"}} //nolint:gosec // to look at it
	c, err := dialer.DialContext(ctx, "tcp", r.Webhook)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	state := c.(*tls.Conn).ConnectionState()
	return &state, nil
}
