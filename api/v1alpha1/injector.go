package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
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
// +kubebuilder:printcolumn:name="Injected",type=integer,JSONPath=`.status.pods.injected`,priority=1
// +kubebuilder:printcolumn:name="Missing",type=integer,JSONPath=`.status.pods.missing`
// +kubebuilder:printcolumn:name="Stale",type=integer,JSONPath=`.status.pods.stale`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:validation:XValidation:rule="size(self.metadata.name) <= 63",message="metadata.name becomes a label value: want at most 63 characters"
type Injector struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// Spec is what you want.
	//
	// +kubebuilder:default={}
	Spec InjectorSpec `json:"spec,omitempty"`
	// Status is what the operator found.
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

// InjectorSpec is what users write. Its rules see it before the defaults too: the API server tests them on "{}".
//
// +kubebuilder:validation:XValidation:rule="has(self.revision) && self.revision != 'default' || !has(self.isDefault) || self.isDefault",message="isDefault: revision \"default\" is the default Injector; remove isDefault or choose another revision"
// +kubebuilder:validation:XValidation:rule="!has(self.policy) || self.policy != 'OptOut' || (has(self.isDefault) ? self.isDefault : !has(self.revision) || self.revision == 'default')",message="policy: OptOut works in the default Injector only; set isDefault: true or use OptIn"
// +kubebuilder:validation:XValidation:rule="!has(self.degrade) || !has(self.degrade.mode) || self.degrade.mode != 'Ignore' || !has(self.webhook) || !has(self.webhook.mode) || self.webhook.mode != 'Field'",message="degrade.mode: Ignore changes failurePolicy, which isn't ours with webhook.mode Field; choose one of the two"
// +kubebuilder:validation:XValidation:rule="!has(self.tags) || !has(self.revision) || !self.tags.exists(t, t == self.revision)",message="tags: the revision selects this Injector already; remove it from tags"
type InjectorSpec struct {
	// Revision is the value of the label istio.io/rev that selects this Injector. It can't change.
	//
	// +kubebuilder:default=default
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9]*[a-z0-9])?$`
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="revision can't change; make another Injector"
	Revision string `json:"revision,omitempty"`

	// Tags are more values of the label istio.io/rev that select this Injector. Move one to another Injector to move all
	// that is labelled with it.
	//
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=32
	// +kubebuilder:validation:items:MaxLength=63
	// +kubebuilder:validation:items:Pattern=`^[a-z0-9]([-a-z0-9]*[a-z0-9])?$`
	// +kubebuilder:validation:XValidation:rule="!self.exists(t, t == 'default')",message="tags can't hold \"default\"; set isDefault: true instead"
	Tags []string `json:"tags,omitempty"`

	// IsDefault claims the namespace label istio-injection and pods that ask without naming a revision.
	// Unset: true if the revision is "default".
	//
	// +optional
	IsDefault *bool `json:"isDefault,omitempty"`

	// Policy says which pods are injected without asking themselves.
	//
	// +kubebuilder:default=OptIn
	Policy Policy `json:"policy,omitempty"`

	// AlwaysInject injects pods that any of these selectors matches, of those the webhooks see, if the pod itself gives no
	// answer. It comes before the policy.
	//
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:validation:XValidation:rule="self.all(s, (has(s.matchLabels) && size(s.matchLabels) > 0) || (has(s.matchExpressions) && size(s.matchExpressions) > 0))",message="alwaysInject: an empty selector matches every pod; name labels, or use policy"
	AlwaysInject []metav1.LabelSelector `json:"alwaysInject,omitempty"`

	// NeverInject leaves out pods that any of these selectors matches, if the pod itself gives no answer. It comes before
	// alwaysInject.
	//
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:validation:XValidation:rule="self.all(s, (has(s.matchLabels) && size(s.matchLabels) > 0) || (has(s.matchExpressions) && size(s.matchExpressions) > 0))",message="neverInject: an empty selector matches every pod; name labels, or use excludedNamespaces"
	NeverInject []metav1.LabelSelector `json:"neverInject,omitempty"`

	// ExcludedNamespaces are never injected, whatever their labels. System namespaces and the operator's never are.
	//
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=256
	// +kubebuilder:validation:items:MaxLength=63
	// +kubebuilder:validation:items:Pattern=`^[a-z0-9]([-a-z0-9]*[a-z0-9])?$`
	ExcludedNamespaces []string `json:"excludedNamespaces,omitempty"`

	// Webhook is how the API server calls the injector.
	//
	// +kubebuilder:default={}
	Webhook Webhook `json:"webhook,omitempty"`

	// Certificates is the identity the operator serves under. All Injectors of one operator share it: the oldest decides,
	// and others that want something else say so in their condition CertificatesReady.
	//
	// +kubebuilder:default={}
	Certificates Certificates `json:"certificates,omitempty"`

	// Templates are partial pods in YAML with CEL placeholders; one named as a built-in (sidecar, gateway, proxyless)
	// replaces it.
	//
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=32
	// +kubebuilder:validation:XValidation:rule="self.map(t, has(t.inline) ? size(t.inline) : 0).sum() <= 262144",message="templates: want at most 262144 characters of text together"
	Templates []Template `json:"templates,omitempty"`

	// DefaultTemplates are rendered, in this order, for pods that name none. Names of templates or aliases.
	//
	// +kubebuilder:default={"sidecar"}
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=8
	// +listType=atomic
	DefaultTemplates []string `json:"defaultTemplates,omitempty"`

	// Aliases are names for several templates in their order. They aren't looked up in each other.
	//
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=32
	Aliases []Alias `json:"aliases,omitempty"`

	// Values are what you like, for your own templates: ${values.team}. At most 64 KiB.
	//
	// +optional
	// +kubebuilder:validation:Type=object
	// +kubebuilder:pruning:PreserveUnknownFields
	Values *runtime.RawExtension `json:"values,omitempty"`

	// Proxy is the sidecar container.
	//
	// +kubebuilder:default={}
	Proxy Proxy `json:"proxy,omitempty"`

	// Capture is what of a pod's traffic goes through the proxy.
	//
	// +kubebuilder:default={}
	Capture Capture `json:"capture,omitempty"`

	// Probes is what becomes of the application's probes.
	//
	// +kubebuilder:default={}
	Probes Probes `json:"probes,omitempty"`

	// Prometheus is what becomes of the application's scrape annotations.
	//
	// +kubebuilder:default={}
	Prometheus Prometheus `json:"prometheus,omitempty"`

	// ImagePullSecrets are added to every injected pod. Each must be in the pod's own namespace.
	//
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=16
	ImagePullSecrets []PullSecret `json:"imagePullSecrets,omitempty"`

	// NativeSidecar makes the proxy an init container with restartPolicy Always. Auto: where every node, or the node
	// the pod names, runs kubelet 1.33 or later.
	//
	// +kubebuilder:default=Auto
	NativeSidecar NativeSidecar `json:"nativeSidecar,omitempty"`

	// Degrade says what happens to pod creation while no operator answers.
	//
	// +kubebuilder:default={}
	Degrade Degrade `json:"degrade,omitempty"`

	// Workload says what happens to pods that run without the sidecar they should have, or with an old one.
	//
	// +kubebuilder:default={}
	Workload Workload `json:"workload,omitempty"`
}
