package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// WebhookMode says who writes the webhook configurations.
//
// +kubebuilder:validation:Enum=Managed;Field
type WebhookMode string

// Webhook modes.
const (
	WebhookManaged WebhookMode = "Managed" // the operator writes and repairs the whole object
	WebhookField   WebhookMode = "Field"   // somebody else writes it; the operator writes caBundle alone
)

// Webhook is how the API server calls the injector.
//
// +kubebuilder:validation:XValidation:rule="!has(self.url) || size(self.url) == 0 || !has(self.service)",message="webhook: service and url exclude each other; remove one"
type Webhook struct {
	// Mode Managed: the operator writes the webhook configurations and puts back what others change. Field: a chart or a
	// GitOps tool writes them (`pillion webhooks render` prints them), the operator writes clientConfig.caBundle and
	// reports other differences.
	//
	// +kubebuilder:default=Managed
	Mode WebhookMode `json:"mode,omitempty"`

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

	// ReinvocationPolicy IfNeeded has the API server ask again when a later webhook has changed the pod.
	//
	// +kubebuilder:default=IfNeeded
	// +kubebuilder:validation:Enum=IfNeeded;Never
	ReinvocationPolicy string `json:"reinvocationPolicy,omitempty"`

	// MatchConditions keep host-network, Windows and mirror pods from being sent to the operator. false only for API
	// servers before 1.30, which don't know them; the operator then says no to such pods itself.
	//
	// +kubebuilder:default=true
	MatchConditions *bool `json:"matchConditions,omitempty"`

	// Service is where the API server reaches the operator, if not at the Service of its own installation. In mode Managed
	// the admission policy of config/rbac lets the operator write its own Service only.
	//
	// +optional
	Service *WebhookService `json:"service,omitempty"`

	// URL is where the API server reaches the operator, if not at its Service: for an operator outside the cluster.
	// The operator needs --serving-host with the same host, or its certificate won't fit.
	//
	// +optional
	// +kubebuilder:validation:MaxLength=2048
	// +kubebuilder:validation:Pattern=`^https://[^/?#@]+(/[^?#]*)?$`
	URL string `json:"url,omitempty"`
}

// WebhookService is a Service in front of operators.
type WebhookService struct {
	// Name of the Service.
	//
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Name string `json:"name"`

	// Namespace of the Service.
	//
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Namespace string `json:"namespace"`

	// Port of the Service.
	//
	// +kubebuilder:default=443
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=65535
	Port int32 `json:"port,omitempty"`
}

// DegradeMode says what happens while no operator answers.
//
// +kubebuilder:validation:Enum=Never;Ignore
type DegradeMode string

// Degrade modes.
const (
	DegradeNever  DegradeMode = "Never"  // failurePolicy stays
	DegradeIgnore DegradeMode = "Ignore" // failurePolicy becomes Ignore until an operator answers again
)

// Degrade says what happens to pod creation while no operator answers.
type Degrade struct {
	// Mode Ignore: pods are created without sidecars while no operator is ready. Never: their creation fails, as
	// webhook.failurePolicy says. It takes a living process: see config/overlays/watchdog.
	//
	// +kubebuilder:default=Never
	Mode DegradeMode `json:"mode,omitempty"`

	// After this long without a ready operator failurePolicy becomes Ignore.
	//
	// +kubebuilder:default="10s"
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=24
	// +kubebuilder:validation:Pattern=`^([0-9]+(\.[0-9]+)?(ns|us|ms|s|m|h))+$`
	// +kubebuilder:validation:XValidation:rule="duration(self) <= duration('1h')",message="degrade.after: want 1s to 1h, such as 10s"
	After metav1.Duration `json:"after,omitempty"`

	// RestoreAfter this long with a ready operator failurePolicy is put back.
	//
	// +kubebuilder:default="30s"
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=24
	// +kubebuilder:validation:Pattern=`^([0-9]+(\.[0-9]+)?(ns|us|ms|s|m|h))+$`
	// +kubebuilder:validation:XValidation:rule="duration(self) <= duration('1h')",message="degrade.restoreAfter: want 1s to 1h, such as 30s"
	RestoreAfter metav1.Duration `json:"restoreAfter,omitempty"`
}
