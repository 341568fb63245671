package injector

import (
	"cmp"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pillion-mesh/pillion/api/v1alpha1"
)

// certificatesReady names one cause: another Injector's word counts before what the certificates lack, and that before
// what API servers make of them.
func (p *pass) certificatesReady() metav1.Condition {
	not := func(reason, message string) metav1.Condition {
		return condition(v1alpha1.ConditionCertificatesReady, false, reason, message)
	}
	if conflict := p.state.Identity.disagreement(p.compiled.InEffect); conflict != "" {
		return not(reasonConflict, conflict)
	}
	if p.certificates.reason != "" {
		return not(p.certificates.reason, p.certificates.message)
	}
	if p.pending != "" {
		return not(reasonPending, p.pending)
	}
	var faults []string
	for _, w := range p.webhooks {
		if w.untrusted != nil {
			faults = append(faults, w.untrusted.Error())
		}
	}
	if len(faults) > 0 {
		return not(reasonNotTrusted, strings.Join(faults, "; "))
	}
	return condition(v1alpha1.ConditionCertificatesReady, true, reasonTrusted, "")
}

// certificatesPass is what the serving certificates' controller said in this pass.
type certificatesPass struct {
	status          *v1alpha1.CertificatesStatus
	reason, message string // why they aren't ready
}

// readCertificates asks once, so that all of a status is of the same moment. A process that doesn't know yet leaves what
// an earlier one wrote.
func (c *Controller) readCertificates(p *pass) {
	p.certificates.status = p.inj.Status.Certificates
	if c.CertificatesStatus != nil {
		if now := c.CertificatesStatus(); now != nil {
			p.certificates.status = writable(now)
		}
	}
	if c.CertificatesFault != nil {
		p.certificates.reason, p.certificates.message = c.CertificatesFault()
	}
}

// maxCertificates is the most CAs and the most replicas the CRD takes.
const maxCertificates = 16

// writable is a status as it comes back from the API server: times in seconds, lists not too long and in one order.
// Otherwise each look would find a difference and write.
func writable(s *v1alpha1.CertificatesStatus) *v1alpha1.CertificatesStatus {
	s = s.DeepCopy()
	slices.SortFunc(s.Replicas, func(a, b v1alpha1.ReplicaCertificate) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Address, b.Address))
	})
	s.CAs = s.CAs[:min(len(s.CAs), maxCertificates)]
	s.Replicas = s.Replicas[:min(len(s.Replicas), maxCertificates)]
	for _, t := range []*metav1.Time{s.Since, s.NextRotation} {
		inSeconds(t)
	}
	for i := range s.CAs {
		inSeconds(&s.CAs[i].NotAfter)
	}
	for i := range s.Replicas {
		inSeconds(s.Replicas[i].NotAfter)
	}
	return s
}

func inSeconds(t *metav1.Time) {
	if t != nil {
		*t = t.Rfc3339Copy()
	}
}
