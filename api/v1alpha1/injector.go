package v1alpha1

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Injector says which pods get a sidecar and what it looks like. It is cluster-scoped; `default` is usually the only one.
//
// +kubebuilder:object:root=true
// +kubebuilder:resource:scope=Cluster,shortName=inj
// +kubebuilder:subresource:status
// +kubebuilder:printcolumn:name="Revision",type=string,JSONPath=`.spec.revision`
// +kubebuilder:printcolumn:name="Policy",type=string,JSONPath=`.spec.policy`
// +kubebuilder:printcolumn:name="Accepted",type=string,JSONPath=`.status.conditions[?(@.type=="Accepted")].status`
// +kubebuilder:printcolumn:name="Templates",type=string,JSONPath=`.status.conditions[?(@.type=="TemplatesReady")].status`
// +kubebuilder:printcolumn:name="Webhooks",type=string,JSONPath=`.status.conditions[?(@.type=="WebhooksReady")].status`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:validation:XValidation:rule="size(self.metadata.name) <= 63",message="metadata.name becomes a label value: want at most 63 characters"
type Injector struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// +kubebuilder:default={}
	Spec   InjectorSpec   `json:"spec,omitempty"`
	Status InjectorStatus `json:"status,omitempty"`
}

// InjectorList is a list of Injectors.
//
// +kubebuilder:object:root=true
type InjectorList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []Injector `json:"items"`
}

// Policy says which pods are injected without asking themselves.
//
// +kubebuilder:validation:Enum=OptIn;OptOut;Explicit
type Policy string

// Policies.
const (
	PolicyOptIn    Policy = "OptIn"    // the namespace or the pod asks
	PolicyOptOut   Policy = "OptOut"   // unlabelled namespaces too
	PolicyExplicit Policy = "Explicit" // only pods that ask themselves
)

// NativeSidecar says whether the proxy is an init container with restartPolicy Always.
//
// +kubebuilder:validation:Enum=Auto;Always;Never
type NativeSidecar string

// Native sidecar modes.
const (
	NativeAuto   NativeSidecar = "Auto" // where every node's kubelet supports it
	NativeAlways NativeSidecar = "Always"
	NativeNever  NativeSidecar = "Never"
)

// CaptureMode says how a pod's traffic reaches the proxy.
//
// +kubebuilder:validation:Enum=REDIRECT;NONE
type CaptureMode string

// Capture modes, in Istio's spelling.
const (
	CaptureRedirect CaptureMode = "REDIRECT"
	CaptureNone     CaptureMode = "NONE"
)

// InjectorSpec is what users write. Its rules see it before the defaults too: the API server tests them on "{}".
//
// +kubebuilder:validation:XValidation:rule="has(self.revision) && self.revision != 'default' || !has(self.isDefault) || self.isDefault",message="isDefault: revision \"default\" is the default Injector; remove isDefault or choose another revision"
// +kubebuilder:validation:XValidation:rule="!has(self.policy) || self.policy != 'OptOut' || (has(self.isDefault) ? self.isDefault : !has(self.revision) || self.revision == 'default')",message="policy: OptOut works in the default Injector only; set isDefault: true or use OptIn"
type InjectorSpec struct {
	// Revision is the value of the label istio.io/rev that selects this Injector. It can't change.
	//
	// +kubebuilder:default=default
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9]*[a-z0-9])?$`
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="revision can't change; make another Injector"
	Revision string `json:"revision,omitempty"`

	// IsDefault claims the namespace label istio-injection and pods that ask without naming a revision.
	// Unset: true if the revision is "default".
	//
	// +optional
	IsDefault *bool `json:"isDefault,omitempty"`

	// Policy says which pods are injected without asking themselves.
	//
	// +kubebuilder:default=OptIn
	Policy Policy `json:"policy,omitempty"`

	// ExcludedNamespaces are never injected, whatever their labels. System namespaces and the operator's never are.
	//
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=256
	// +kubebuilder:validation:items:MaxLength=63
	// +kubebuilder:validation:items:Pattern=`^[a-z0-9]([-a-z0-9]*[a-z0-9])?$`
	ExcludedNamespaces []string `json:"excludedNamespaces,omitempty"`

	// +kubebuilder:default={}
	Webhook Webhook `json:"webhook,omitempty"`

	// Templates are partial pods in YAML with CEL placeholders; one named "sidecar" replaces the built-in.
	//
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=32
	Templates []Template `json:"templates,omitempty"`

	// DefaultTemplates are rendered, in this order, for pods that name none.
	//
	// +kubebuilder:default={"sidecar"}
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=8
	// +listType=atomic
	DefaultTemplates []string `json:"defaultTemplates,omitempty"`

	// +kubebuilder:default={}
	Proxy Proxy `json:"proxy,omitempty"`

	// +kubebuilder:default={}
	Capture Capture `json:"capture,omitempty"`

	// NativeSidecar makes the proxy an init container with restartPolicy Always. Auto: where every node, or the node
	// the pod names, runs kubelet 1.33 or later.
	//
	// +kubebuilder:default=Auto
	NativeSidecar NativeSidecar `json:"nativeSidecar,omitempty"`
}

// Webhook is how the API server calls the injector.
type Webhook struct {
	// FailurePolicy says what becomes of a pod that can't be admitted because no operator answers.
	//
	// +kubebuilder:default=Fail
	// +kubebuilder:validation:Enum=Fail;Ignore
	FailurePolicy string `json:"failurePolicy,omitempty"`

	// TimeoutSeconds is how long the API server waits. The operator itself gives up at 80 % of it.
	//
	// +kubebuilder:default=5
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=30
	TimeoutSeconds int32 `json:"timeoutSeconds,omitempty"`

	// URL is where the API server reaches the operator, if not at its Service: for an operator outside the cluster.
	// The operator needs --serving-host with the same host, or its certificate won't fit.
	//
	// +optional
	// +kubebuilder:validation:MaxLength=2048
	// +kubebuilder:validation:Pattern=`^https://[^/?#@]+(/[^?#]*)?$`
	URL string `json:"url,omitempty"`
}

// Template is one named template.
type Template struct {
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9]*[a-z0-9])?$`
	Name string `json:"name"`

	// Inline is the template's text: a partial Pod in YAML.
	//
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=65536
	Inline string `json:"inline"`
}

// Proxy is the sidecar container.
type Proxy struct {
	// Image is the sidecar's image. Empty: the one the operator was started with.
	//
	// +optional
	// +kubebuilder:validation:MaxLength=512
	Image string `json:"image,omitempty"`

	// +kubebuilder:default=IfNotPresent
	// +kubebuilder:validation:Enum=Always;IfNotPresent;Never
	ImagePullPolicy corev1.PullPolicy `json:"imagePullPolicy,omitempty"`

	// LogLevel is the proxy's.
	//
	// +kubebuilder:default=warning
	// +kubebuilder:validation:Enum=trace;debug;info;warning;error;critical;off
	LogLevel string `json:"logLevel,omitempty"`

	// UID is the user and group the sidecar runs as. Capture knows the proxy's own traffic by it.
	//
	// +kubebuilder:default=1337
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=4294967294
	UID int64 `json:"uid,omitempty"`

	// Resources of the proxy container: requests and limits of cpu and memory. Unset: 50m CPU and 64Mi requested,
	// 2 CPUs and 512Mi at most.
	//
	// +optional
	Resources *corev1.ResourceRequirements `json:"resources,omitempty"`
}

// Capture is what of a pod's traffic goes through the proxy. Each field has an annotation of the same name.
type Capture struct {
	// Mode is REDIRECT, or NONE for no capture at all.
	//
	// +kubebuilder:default=REDIRECT
	Mode CaptureMode `json:"mode,omitempty"`

	// IncludeOutboundIPRanges is a comma-separated list of CIDRs, or "*".
	//
	// +kubebuilder:default="*"
	IncludeOutboundIPRanges *string `json:"includeOutboundIPRanges,omitempty"`

	// ExcludeOutboundIPRanges is a comma-separated list of CIDRs.
	//
	// +optional
	ExcludeOutboundIPRanges string `json:"excludeOutboundIPRanges,omitempty"`

	// IncludeInboundPorts is a comma-separated list of ports or ranges, or "*".
	//
	// +kubebuilder:default="*"
	IncludeInboundPorts *string `json:"includeInboundPorts,omitempty"`

	// ExcludeInboundPorts is a comma-separated list of ports or ranges.
	//
	// +optional
	ExcludeInboundPorts string `json:"excludeInboundPorts,omitempty"`

	// IncludeOutboundPorts are captured whatever the address.
	//
	// +optional
	IncludeOutboundPorts string `json:"includeOutboundPorts,omitempty"`

	// ExcludeOutboundPorts are never captured.
	//
	// +optional
	ExcludeOutboundPorts string `json:"excludeOutboundPorts,omitempty"`
}

// Condition types of an Injector.
const (
	ConditionAccepted          = "Accepted"          // the spec is valid and its names are ours
	ConditionTemplatesReady    = "TemplatesReady"    // every template compiled; else the previous ones stay in use
	ConditionWebhooksReady     = "WebhooksReady"     // the API server holds our webhook configurations
	ConditionCertificatesReady = "CertificatesReady" // the caBundle of each verifies the certificate we serve
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

	// Templates are the templates in use and what is wrong with those that aren't.
	//
	// +optional
	// +listType=map
	// +listMapKey=name
	Templates []TemplateStatus `json:"templates,omitempty"`
}

// WebhookStatus is one webhook configuration.
type WebhookStatus struct {
	Name    string   `json:"name"`
	InSync  bool     `json:"inSync"`
	Entries []string `json:"entries,omitempty"`
}

// TemplateStatus is one template.
type TemplateStatus struct {
	Name string `json:"name"`
	// Ready: the present text compiled.
	Ready bool `json:"ready"`
	// UsingPrevious: an older text of this template is in use because the present one is broken.
	//
	// +optional
	UsingPrevious bool `json:"usingPrevious,omitempty"`
	// +optional
	Errors []TemplateError `json:"errors,omitempty"`
}

// TemplateError is one fault of a template. Line and column count from 1; 0 is unknown.
type TemplateError struct {
	Line    int32  `json:"line,omitempty"`
	Column  int32  `json:"column,omitempty"`
	Message string `json:"message"`
}
