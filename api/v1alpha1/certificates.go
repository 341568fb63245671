package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// CertificatesSource says where the serving certificate comes from.
//
// +kubebuilder:validation:Enum=SelfManaged;CertManager;Provided
type CertificatesSource string

// Sources of the serving certificate.
const (
	CertificatesSelfManaged CertificatesSource = "SelfManaged" // a CA of the operator's own
	CertificatesCertManager CertificatesSource = "CertManager"
	CertificatesProvided    CertificatesSource = "Provided" // a Secret or files of the user's
)

// BundleMode says who writes the caBundle of webhook configurations.
//
// +kubebuilder:validation:Enum=Manage;External
type BundleMode string

// Bundle modes.
const (
	BundleManage   BundleMode = "Manage"
	BundleExternal BundleMode = "External"
)

// ProbeMode says whether a rotation is tried out through the API server.
//
// +kubebuilder:validation:Enum=Auto;Off
type ProbeMode string

// Probe modes.
const (
	ProbeAuto ProbeMode = "Auto"
	ProbeOff  ProbeMode = "Off"
)

// IssuerGroup is cert-manager's own; other groups are those of external issuers.
const IssuerGroup = "cert-manager.io"

// Certificates is the identity the operator serves under, which API servers verify. It belongs to the operator's Service:
// all Injectors of one operator share it, and the oldest of them decides. One that has the defaults agrees with any.
//
// +kubebuilder:validation:XValidation:rule="!has(self.caBundle) || self.caBundle != 'External' || (has(self.source) && self.source != 'SelfManaged')",message="certificates.caBundle: External leaves the bundle to others, who can't know the operator's own CA; remove it, or set source to CertManager or Provided"
type Certificates struct {
	// Source SelfManaged: the operator makes a CA and rotates it. CertManager: cert-manager issues the certificate.
	// Provided: you do, in a Secret or in files. Changing it fails no admission.
	//
	// +kubebuilder:default=SelfManaged
	Source CertificatesSource `json:"source,omitempty"`

	// CABundle Manage: the operator writes clientConfig.caBundle. External: cert-manager's cainjector or another tool does,
	// and the operator only waits for it to fit.
	//
	// +kubebuilder:default=Manage
	CABundle BundleMode `json:"caBundle,omitempty"`

	// Probe Auto: before a new CA is used, a dry run through every API server shows that it is trusted there. Off: the
	// operator waits longer instead.
	//
	// +kubebuilder:default=Auto
	Probe ProbeMode `json:"probe,omitempty"`

	// SelfManaged is read with source SelfManaged.
	//
	// +kubebuilder:default={}
	SelfManaged SelfManagedCertificates `json:"selfManaged,omitempty"`

	// CertManager is read with source CertManager.
	//
	// +kubebuilder:default={}
	CertManager CertManagerCertificates `json:"certManager,omitempty"`

	// Provided is read with source Provided.
	//
	// +kubebuilder:default={}
	Provided ProvidedCertificates `json:"provided,omitempty"`
}

// SelfManagedCertificates are how long the operator's own certificates live.
//
// +kubebuilder:validation:XValidation:rule="!has(self.caDuration) || duration(self.caDuration) >= duration('24h')",message="certificates.selfManaged.caDuration: want 24h or more, such as 8760h"
// +kubebuilder:validation:XValidation:rule="!has(self.leafDuration) || duration(self.leafDuration) >= duration('1h')",message="certificates.selfManaged.leafDuration: want 1h or more, such as 24h"
// +kubebuilder:validation:XValidation:rule="!has(self.caDuration) || !has(self.leafDuration) || duration(self.leafDuration).getSeconds() * 4 <= duration(self.caDuration).getSeconds()",message="certificates.selfManaged.leafDuration: want at most a quarter of caDuration; 24h, the default, takes a caDuration of 96h or more"
type SelfManagedCertificates struct {
	// CADuration is the life of the CA. It is replaced when a third of it is left.
	//
	// +optional
	// +kubebuilder:default="8760h"
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=24
	// +kubebuilder:validation:Pattern=`^([0-9]+(\.[0-9]+)?(ns|us|ms|s|m|h))+$`
	CADuration metav1.Duration `json:"caDuration,omitzero"`

	// LeafDuration is the life of the certificate each replica makes for itself. It is replaced when a third of it is left.
	//
	// +optional
	// +kubebuilder:default="24h"
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=24
	// +kubebuilder:validation:Pattern=`^([0-9]+(\.[0-9]+)?(ns|us|ms|s|m|h))+$`
	LeafDuration metav1.Duration `json:"leafDuration,omitzero"`
}

// CertManagerCertificates are what cert-manager is asked for.
type CertManagerCertificates struct {
	// IssuerRef is who signs. Unset: the operator makes an Issuer with a CA of its own.
	//
	// +optional
	IssuerRef *IssuerRef `json:"issuerRef,omitempty"`

	// Duration is the life of the certificate. cert-manager replaces it when a third of it is left.
	//
	// +optional
	// +kubebuilder:default="720h"
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=24
	// +kubebuilder:validation:Pattern=`^([0-9]+(\.[0-9]+)?(ns|us|ms|s|m|h))+$`
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('1h')",message="certificates.certManager.duration: want 1h or more, such as 720h"
	Duration metav1.Duration `json:"duration,omitzero"`
}

// IssuerRef names an issuer of cert-manager.
type IssuerRef struct {
	// Name of the issuer.
	//
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$`
	Name string `json:"name"`

	// Kind of the issuer. An Issuer must be in the operator's namespace; a ClusterIssuer is everywhere.
	//
	// +kubebuilder:default=Issuer
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:Pattern=`^[A-Z][A-Za-z0-9]*$`
	Kind string `json:"kind,omitempty"`

	// Group of the issuer's kind; external issuers have others.
	//
	// +kubebuilder:default=cert-manager.io
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$`
	Group string `json:"group,omitempty"`
}

// ProvidedCertificates are where the user's own certificate is.
type ProvidedCertificates struct {
	// SecretRef is a Secret in the operator's namespace with tls.crt, tls.key and ca.crt. Unset: the operator reads the
	// files of its flags --tls-cert-file, --tls-key-file and --tls-ca-file.
	//
	// +optional
	SecretRef *LocalSecret `json:"secretRef,omitempty"`
}

// LocalSecret names a Secret in the operator's namespace.
type LocalSecret struct {
	// Name of the Secret.
	//
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$`
	Name string `json:"name"`
}
