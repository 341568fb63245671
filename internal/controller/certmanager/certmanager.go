// Package certmanager has cert-manager issue the operator's serving certificate.
//
// In comes what the certificate has to be (Want); out go an Issuer and a Certificate in the operator's namespace, by
// server-side apply, and a State that says whether cert-manager has issued and if not, why, in its own words. The pair
// that it issues is in a Secret, which this package never reads: see servingcert/pairs. Read this file first, then
// objects.go (what is applied), keep.go (how) and state.go (what cert-manager makes of it).
package certmanager

import (
	cmv1 "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/pillion-mesh/pillion/api/v1alpha1"
)

// Names of ours.
const (
	// FieldManager owns what we apply.
	FieldManager = "pillion-certmanager"
	// LabelService is on every object of ours, with the Service whose certificate it is for. Without it an object is
	// somebody else's: it is neither changed nor deleted, whatever its name.
	LabelService = "pillion.dev/serving-certificate"
	// Role is the operator's in its namespace, as config/rbac names it.
	Role = "pillion-operator"
)

// AddToScheme makes cert-manager's types known to a client. Nothing in this package needs it.
func AddToScheme(scheme *runtime.Scheme) error { return cmv1.AddToScheme(scheme) }

// SecretName is the Secret's in which the pair of a Service is to be.
func SecretName(service string) string { return service + "-serving-tls" }

// Want says which certificate.
type Want struct {
	Namespace  string // the operator's
	Service    string // names of objects begin with it
	SecretName string // "": SecretName(Service)
	DNSNames   []string
	Addresses  []string
	Duration   metav1.Duration     // at least an hour
	IssuerRef  *v1alpha1.IssuerRef // nil: a CA of our own
}

// Why there is no certificate. They are reasons of the condition CertificatesReady.
const (
	CertManagerMissing = "CertManagerMissing" // the API server knows no Certificates
	IssuerNotFound     = "IssuerNotFound"
	NotReady           = "NotReady"  // cert-manager says why
	NotOurs            = "NotOurs"   // another's object has the name
	Forbidden          = "Forbidden" // the operator's Role lacks something
	Rejected           = "Rejected"  // the API server or cert-manager's webhook doesn't take it
)

// State is what has become of it. A pair issued earlier may be in its Secret, and good, whatever the state.
type State struct {
	Ready           bool
	Reason, Message string // empty when ready
}
