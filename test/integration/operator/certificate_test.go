package operator

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"strings"
	"testing"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

func (e *env) caSecret() (*corev1.Secret, error) {
	s := &corev1.Secret{}
	return s, e.client.Get(e.ctx(), client.ObjectKey{Namespace: e.namespace, Name: "pillion-serving-ca"}, s)
}

func TestSecretIsDeleted(t *testing.T) {
	e := newEnv(t)
	e.injector()
	e.ready(e.start("a"))
	e.serving("default")
	before, err := e.caSecret()
	must(t, err)
	stop := e.keepCreating(e.meshed())
	must(t, e.client.Delete(e.ctx(), before))
	e.eventually("it is back with the same CA", func() error {
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
	e.injector()
	r := e.start("a")
	e.ready(r)
	e.serving("default")
	before, err := e.caSecret()
	must(t, err)
	meshed := e.meshed()
	stop := e.keepCreating(meshed)
	for _, spoil := range []func(*corev1.Secret){
		func(s *corev1.Secret) { s.Data = nil },
		func(s *corev1.Secret) { s.Data["active.key"] = []byte("garbage") },
		func(s *corev1.Secret) { s.Data["active.crt"] = s.Data["active.crt"][:40] },
	} {
		now, err := e.caSecret()
		must(t, err)
		spoil(now)
		must(t, e.client.Update(e.ctx(), now))
		e.eventually("memory heals it", func() error {
			healed, err := e.caSecret()
			if err == nil && !bytes.Equal(healed.Data["active.key"], before.Data["active.key"]) {
				err = errors.New("it isn't what it was")
			}
			return err
		})
	}
	stop(0)

	r.kill()
	now, err := e.caSecret()
	must(t, err)
	now.Data["active.key"] = []byte("garbage")
	must(t, e.client.Update(e.ctx(), now))
	e.dropLease()
	r = e.start("b") // remembers nothing, so it makes a new CA
	e.ready(r)
	e.injected(meshed)
	e.event("ServingCARecovered", "a new one is in place")
	after, err := e.caSecret()
	must(t, err)
	if bytes.Equal(after.Data["active.crt"], before.Data["active.crt"]) || !bytes.Equal(after.Data["prev.crt"], before.Data["active.crt"]) {
		t.Error("want a new active certificate, and the old one as prev")
	}
}

// dropLease spares a test the 15 s after which a killed leader's Lease is free.
func (e *env) dropLease() {
	e.t.Helper()
	lease := &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Namespace: e.namespace, Name: "pillion"}}
	must(e.t, client.IgnoreNotFound(e.client.Delete(e.ctx(), lease)))
}

// holdLease keeps every replica from leading.
func (e *env) holdLease() {
	e.t.Helper()
	now := metav1.NowMicro()
	must(e.t, e.client.Create(e.ctx(), &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Namespace: e.namespace, Name: "pillion"},
		Spec: coordinationv1.LeaseSpec{HolderIdentity: new("nobody"), LeaseDurationSeconds: new(int32(3600)), AcquireTime: &now, RenewTime: &now}}))
}

func TestReadinessEndsWhenTheBundleDoesNotVerify(t *testing.T) {
	t.Parallel() // it waits long; in a cluster of its own
	e := newEnvIn(t, clusterName+"-ready")
	e.injector()
	leader := e.start("leader")
	e.ready(leader)
	e.serving("default")
	leader.kill()
	e.dropLease()
	e.holdLease()
	r := e.start("follower") // can't repair
	e.ready(r)
	live, err := e.configuration(defaultConfiguration)
	must(t, err)
	good := live.Webhooks[0].ClientConfig.CABundle
	for i := range live.Webhooks {
		live.Webhooks[i].ClientConfig.CABundle = otherCA(t)
	}
	wiped := time.Now()
	must(t, e.client.Update(e.ctx(), live))
	e.within(45*time.Second, "readiness goes", func() error {
		if err := r.get(e.ctx(), "/readyz"); err != nil && strings.Contains(err.Error(), "doesn't verify our certificate") {
			return nil
		}
		return errors.New("still ready")
	})
	if d := time.Since(wiped); d < 29*time.Second {
		t.Errorf("readiness went after %s: a wipe that is repaired at once would have emptied the Service", d)
	}
	live, err = e.configuration(defaultConfiguration)
	must(t, err)
	live.Webhooks[0].ClientConfig.CABundle = good
	must(t, e.client.Update(e.ctx(), live))
	e.ready(r)
}

// presented is the certificate a replica serves.
func presented(ctx context.Context, r *replica) (*tls.ConnectionState, error) {
	dialer := tls.Dialer{Config: &tls.Config{InsecureSkipVerify: true, ServerName: "pillion.pillion-system.svc"}} //nolint:gosec // to look at it
	c, err := dialer.DialContext(ctx, "tcp", r.webhook)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	state := c.(*tls.Conn).ConnectionState()
	return &state, nil
}
