package v1alpha1

import (
	"crypto/sha256"
	"encoding/hex"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Phases of a rotation.
const (
	PhaseSteady    = "Steady"    // no rotation
	PhaseIntroduce = "Introduce" // the next CA is being written into every bundle
	PhasePropagate = "Propagate" // API servers are taking the bundles into use
	PhasePromote   = "Promote"   // replicas are changing to leaves of the new CA
	PhaseRetire    = "Retire"    // the old CA is still trusted, and served by nobody
)

// Roles of a CA.
const (
	RoleActive  = "active"  // signs what replicas serve
	RoleNext    = "next"    // trusted already, signs after this rotation
	RolePrev    = "prev"    // signed before this rotation
	RoleTrusted = "trusted" // of a certificate from another source, which may still be served
	RoleServed  = "served"  // of the certificate that is served, where others issue it
)

// What is written in the metadata of the Secret with the CA, ServingCASecret(service).
const (
	AnnotationPhase      = "pillion.dev/phase"
	AnnotationPhaseSince = "pillion.dev/phase-since"
	AnnotationRotation   = "pillion.dev/rotation" // how many there were
	AnnotationRotate     = "pillion.dev/rotate"   // asks for one; removed when it starts

	RotateNow         = "true"
	RotateCompromised = "compromised" // the old CA isn't trusted a moment longer than it takes
)

// Fingerprint names a certificate in status, logs and the command line; der is the whole certificate.
func Fingerprint(der []byte) string {
	sum := sha256.Sum256(der)
	return "sha256:" + hex.EncodeToString(sum[:])
}

// ServingCASecret is the name of the Secret with the CA of an operator's Service.
func ServingCASecret(service string) string { return service + "-serving-ca" }

// CertificatesStatus is the identity that is served. All Injectors of one operator show the same.
type CertificatesStatus struct {
	// Source it comes from.
	//
	// +optional
	Source CertificatesSource `json:"source,omitempty"`

	// Phase is Steady, or that of the rotation under way: Introduce, Propagate, Promote, Retire.
	//
	// +optional
	Phase string `json:"phase,omitempty"`

	// Since when the phase lasts.
	//
	// +optional
	Since *metav1.Time `json:"since,omitempty"`

	// Rotation counts the rotations of the CA that there were.
	//
	// +optional
	Rotation int64 `json:"rotation,omitempty"`

	// CAs are those that API servers have to trust.
	//
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=16
	CAs []CertificateAuthority `json:"cas,omitempty"`

	// NextRotation is when the next one begins by itself.
	//
	// +optional
	NextRotation *metav1.Time `json:"nextRotation,omitempty"`

	// Replicas are the ready replicas of the operator by what they were seen to serve, at most 16.
	//
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=16
	Replicas []ReplicaCertificate `json:"replicas,omitempty"`
}

// CertificateAuthority is a CA that API servers have to trust.
type CertificateAuthority struct {
	// Role is active, next, prev, trusted or served.
	Role string `json:"role"`
	// Fingerprint is sha256: and 64 hex digits.
	Fingerprint string `json:"fingerprint"`
	// NotAfter is when it expires.
	NotAfter metav1.Time `json:"notAfter"`
}

// ReplicaCertificate is what one replica serves.
type ReplicaCertificate struct {
	// Name of the pod, or the address where there is none.
	Name string `json:"name"`

	// Address it was seen at.
	//
	// +optional
	Address string `json:"address,omitempty"`

	// CA is the fingerprint of the CA of what it serves.
	//
	// +optional
	CA string `json:"ca,omitempty"`

	// NotAfter is when what it serves expires.
	//
	// +optional
	NotAfter *metav1.Time `json:"notAfter,omitempty"`

	// Fault is why nothing is known of what it serves.
	//
	// +optional
	Fault string `json:"fault,omitempty"`
}
