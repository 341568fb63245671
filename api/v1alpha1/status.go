package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Condition types of an Injector.
const (
	ConditionAccepted          = "Accepted"          // the spec is valid and its names are ours
	ConditionTemplatesReady    = "TemplatesReady"    // every template compiled; else the previous ones stay in use
	ConditionWebhooksReady     = "WebhooksReady"     // the API server holds our webhook configurations
	ConditionCertificatesReady = "CertificatesReady" // the caBundle of each verifies the certificate we serve
	ConditionDegraded          = "Degraded"          // failurePolicy is Ignore because no operator answers
	ConditionConflicts         = "Conflicts"         // another mesh's injector matches pods of ours
)

// InjectorStatus is what the operator found.
type InjectorStatus struct {
	// ObservedGeneration is the generation of the spec this status speaks of.
	//
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// Hash names everything that can change a rendered pod: 12 hex digits.
	//
	// +optional
	Hash string `json:"hash,omitempty"`

	// Conditions are Accepted, TemplatesReady, WebhooksReady, CertificatesReady, Degraded and Conflicts.
	//
	// +optional
	// +listType=map
	// +listMapKey=type
	Conditions []metav1.Condition `json:"conditions,omitempty"`

	// Webhooks are the webhook configurations of this Injector.
	//
	// +optional
	// +listType=map
	// +listMapKey=name
	Webhooks []WebhookStatus `json:"webhooks,omitempty"`

	// Certificates is the identity the operator serves under, the same in all its Injectors.
	//
	// +optional
	Certificates *CertificatesStatus `json:"certificates,omitempty"`

	// Templates are the templates in use and what is wrong with those that aren't.
	//
	// +optional
	// +listType=map
	// +listMapKey=name
	Templates []TemplateStatus `json:"templates,omitempty"`

	// Pods counts the running pods that are this Injector's.
	//
	// +optional
	Pods *PodCounts `json:"pods,omitempty"`
}

// PodCounts are the running pods of an Injector by what they have.
type PodCounts struct {
	// Injected have a sidecar.
	Injected int32 `json:"injected"`
	// Missing should have a sidecar and have none.
	Missing int32 `json:"missing"`
	// Stale have one of an older template, image or setting. They count as injected too.
	Stale int32 `json:"stale"`
	// Namespaces are the same by namespace: those with missing or stale pods first, at most 100.
	//
	// +optional
	// +listType=map
	// +listMapKey=name
	Namespaces []NamespacePodCounts `json:"namespaces,omitempty"`
}

// NamespacePodCounts are the counts of one namespace.
type NamespacePodCounts struct {
	// Name of the namespace.
	Name string `json:"name"`
	// Injected have a sidecar.
	Injected int32 `json:"injected"`
	// Missing should have a sidecar and have none.
	Missing int32 `json:"missing"`
	// Stale have one of an older template, image or setting.
	Stale int32 `json:"stale"`
}

// WebhookStatus is one webhook configuration.
type WebhookStatus struct {
	// Name of the MutatingWebhookConfiguration.
	Name string `json:"name"`
	// Mode it is kept in.
	//
	// +optional
	Mode WebhookMode `json:"mode,omitempty"`
	// InSync: it is as this Injector wants it.
	InSync bool `json:"inSync"`
	// Entries it has.
	//
	// +optional
	Entries []string `json:"entries,omitempty"`
}

// TemplateStatus is one template.
type TemplateStatus struct {
	// Name of the template.
	Name string `json:"name"`
	// Ready: the present text compiled.
	Ready bool `json:"ready"`
	// UsingPrevious: an older text of this template is in use because the present one is broken.
	//
	// +optional
	UsingPrevious bool `json:"usingPrevious,omitempty"`
	// Errors of the present text.
	//
	// +optional
	Errors []TemplateError `json:"errors,omitempty"`
}

// TemplateError is one fault of a template. Line and column count from 1; 0 is unknown.
type TemplateError struct {
	// Line of the text, from 1.
	//
	// +optional
	Line int32 `json:"line,omitempty"`
	// Column of the line, from 1.
	//
	// +optional
	Column int32 `json:"column,omitempty"`
	// Message says what is wrong and what is wanted.
	Message string `json:"message"`
}
