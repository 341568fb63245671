package operatortest

import (
	"fmt"
	"strings"

	coordinationv1 "k8s.io/api/coordination/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Lease is the one that makes a replica the leader, unless --lease says otherwise.
func (e *Env) Lease() client.ObjectKey {
	return client.ObjectKey{Namespace: e.Namespace, Name: "pillion"}
}

// Leads is an error unless a replica holds a Lease.
func (e *Env) Leads(lease client.ObjectKey, r *Replica) error {
	var l coordinationv1.Lease
	if err := e.Client.Get(e.Ctx(), lease, &l); err != nil {
		return err
	}
	if holder := ptr.Deref(l.Spec.HolderIdentity, ""); !strings.HasPrefix(holder, r.Name+"_") {
		return fmt.Errorf("the Lease is held by %q", holder)
	}
	return nil
}

// LeaderOf waits until one of two leads.
func (e *Env) LeaderOf(a, b *Replica) (leader, other *Replica) {
	e.T.Helper()
	e.Eventually("one leads", func() error {
		leader, other = a, b
		if e.Leads(e.Lease(), a) == nil {
			return nil
		}
		leader, other = b, a
		return e.Leads(e.Lease(), b)
	})
	return leader, other
}

// DropLease spares a test the 15 s after which a killed leader's Lease is free.
func (e *Env) DropLease() {
	e.T.Helper()
	key := e.Lease()
	lease := &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Namespace: key.Namespace, Name: key.Name}}
	Must(e.T, client.IgnoreNotFound(e.Client.Delete(e.Ctx(), lease)))
}

// HoldLease keeps every replica from leading, until DropLease.
func (e *Env) HoldLease() {
	e.T.Helper()
	key, now := e.Lease(), metav1.NowMicro()
	Must(e.T, e.Client.Create(e.Ctx(), &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Namespace: key.Namespace, Name: key.Name},
		Spec: coordinationv1.LeaseSpec{HolderIdentity: new("nobody"), LeaseDurationSeconds: new(int32(3600)), AcquireTime: &now, RenewTime: &now}}))
}
