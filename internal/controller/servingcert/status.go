package servingcert

import (
	"cmp"
	"errors"
	"reflect"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pillion-mesh/pillion/api/v1alpha1"
	"github.com/pillion-mesh/pillion/internal/controller/servingcert/pairs"
	"github.com/pillion-mesh/pillion/internal/controller/servingcert/rotation"
)

// maxReplicas is how many replicas a status tells of.
const maxReplicas = 16

// report is what the last look found, for the status. Nothing in it changes each minute.
type report struct {
	status          *v1alpha1.CertificatesStatus
	reason, message string
	complete        bool
}

// Status is status.certificates; nil before the first look.
func (c *Controller) Status() *v1alpha1.CertificatesStatus {
	if r := c.status.Load(); r != nil {
		return r.status.DeepCopy()
	}
	return nil
}

// Fault is why CertificatesReady is false; "" if there is nothing to say beyond what each configuration's Trusted does.
func (c *Controller) Fault() (reason, message string) {
	if r := c.status.Load(); r != nil {
		return r.reason, r.message
	}
	return "", ""
}

// report says whether there is something new.
func (c *Controller) report() bool {
	s, now := c.remembered(), c.Now()
	r := &report{status: &v1alpha1.CertificatesStatus{
		Source: c.Settings().Source, Phase: string(s.Phase), Rotation: int64(s.Count), CAs: c.authorities(s), NextRotation: c.nextRotation(s),
		Replicas: c.served(s, now),
	}}
	if !s.Since.IsZero() {
		r.status.Since = &metav1.Time{Time: s.Since.Truncate(time.Second)}
	}
	r.reason, r.message = c.fault(s)
	r.complete = c.complete(s)
	return !reflect.DeepEqual(c.status.Swap(r), r)
}

// fault is the first of what is wrong: what others issued before what we wait for.
func (c *Controller) fault(s stored) (reason, message string) {
	var refused *pairs.Refused
	switch {
	case errors.As(c.refused, &refused):
		return refused.Reason, refused.Message
	case c.refused != nil:
		return "Unreadable", c.refused.Error()
	case c.expiring != "":
		return "Expiring", c.expiring
	case c.leading != nil && c.leading.stuck:
		return "RotationStuck", c.stuck(s)
	}
	return "", ""
}

// Complete says of what source certificates are meant to be, and whether the leader has seen that nobody serves any
// other: what was asked of another source isn't needed any more.
func (c *Controller) Complete() (v1alpha1.CertificatesSource, bool) {
	if r := c.status.Load(); r != nil {
		return r.status.Source, r.complete
	}
	return "", false
}

func (c *Controller) complete(s stored) bool {
	meant := s.Active.Key
	if c.foreign(c.Settings()) {
		meant = c.refused == nil && c.pair != nil && c.pair.id == s.Active.ID
	}
	return meant && c.leading != nil && s.Phase == rotation.Steady && c.leading.changed.For() >= 0
}

func (c *Controller) authorities(s stored) []v1alpha1.CertificateAuthority {
	var all []v1alpha1.CertificateAuthority
	add := func(role string, ca rotation.CA) {
		if !ca.None() {
			all = append(all, v1alpha1.CertificateAuthority{Role: role, Fingerprint: string(ca.ID), NotAfter: metav1.Time{Time: ca.NotAfter}})
		}
	}
	add(v1alpha1.RoleActive, s.Active)
	add(v1alpha1.RoleNext, s.Next)
	add(v1alpha1.RolePrev, s.Prev)
	for _, ca := range s.Trusted {
		add(v1alpha1.RoleTrusted, ca)
	}
	if served := c.leaf.Load(); served != nil && !s.Has(served.id) {
		add(v1alpha1.RoleServed, served.authority())
	}
	return all
}

// nextRotation is when a third of the life of a CA of ours is left.
func (c *Controller) nextRotation(s stored) *metav1.Time {
	if !s.Active.Key || s.Phase != rotation.Steady {
		return nil
	}
	third := s.Active.NotAfter.Sub(s.Active.NotBefore) / 3
	return &metav1.Time{Time: s.Active.NotAfter.Add(-third).Truncate(time.Second)}
}

func (c *Controller) served(s stored, now time.Time) []v1alpha1.ReplicaCertificate {
	if c.leading == nil || c.leading.replicas == nil {
		return nil
	}
	var all []v1alpha1.ReplicaCertificate
	for _, r := range c.leading.replicas.served {
		one := v1alpha1.ReplicaCertificate{Name: r.Name, Address: r.Address}
		if r.Leaf != nil {
			one.CA, one.NotAfter = string(c.issuer(s, r, now)), &metav1.Time{Time: r.Leaf.NotAfter}
		}
		if r.Fault != nil {
			one.Fault = r.Fault.Error()
		}
		all = append(all, one)
	}
	slices.SortFunc(all, func(a, b v1alpha1.ReplicaCertificate) int { return cmp.Compare(a.Name, b.Name) })
	return all[:min(len(all), maxReplicas)]
}
