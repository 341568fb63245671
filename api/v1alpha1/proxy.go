package v1alpha1

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
)

// Proxy is the sidecar container.
type Proxy struct {
	// Image is the sidecar's image. Empty: the one the operator was started with.
	//
	// +optional
	// +kubebuilder:validation:MaxLength=512
	Image string `json:"image,omitempty"`

	// ImagePullPolicy of both containers.
	//
	// +kubebuilder:default=IfNotPresent
	// +kubebuilder:validation:Enum=Always;IfNotPresent;Never
	ImagePullPolicy corev1.PullPolicy `json:"imagePullPolicy,omitempty"`

	// LogLevel is the proxy's.
	//
	// +kubebuilder:default=warning
	// +kubebuilder:validation:Enum=trace;debug;info;warning;error;critical;off
	LogLevel string `json:"logLevel,omitempty"`

	// ComponentLogLevel sets levels of single parts of the proxy: "http:debug,tcp:info".
	//
	// +optional
	// +kubebuilder:validation:MaxLength=512
	ComponentLogLevel string `json:"componentLogLevel,omitempty"`

	// AgentLogLevel is the agent's.
	//
	// +kubebuilder:default=info
	// +kubebuilder:validation:Enum=trace;debug;info;warning;error;critical;off
	AgentLogLevel string `json:"agentLogLevel,omitempty"`

	// StatusPort is where the agent answers rewritten probes and scrapes. Probes, merged metrics and capture all take it
	// from here.
	//
	// +kubebuilder:default=15020
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=65535
	StatusPort int32 `json:"statusPort,omitempty"`

	// HoldApplication starts the application's containers only once the proxy is ready. Native sidecars always do.
	//
	// +optional
	HoldApplication bool `json:"holdApplication,omitempty"`

	// Env is more environment of the proxy container. Values are literal.
	//
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=64
	Env []EnvVar `json:"env,omitempty"`

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

	// ResourceRatio makes the proxy's resources a share of the application's, where that has any. Annotations of the pod
	// win over it, and it wins over resources.
	//
	// +optional
	ResourceRatio *ResourceRatio `json:"resourceRatio,omitempty"`

	// PodResources is for pods that set spec.resources, which bounds all containers together. Pad raises what is set there
	// by the sidecar's; Share gives the sidecar none of its own.
	//
	// +kubebuilder:default=Pad
	PodResources PodResources `json:"podResources,omitempty"`
}

// PodResources says how the sidecar fits into resources set for a whole pod.
//
// +kubebuilder:validation:Enum=Pad;Share
type PodResources string

// Ways to fit in.
const (
	PodResourcesPad   PodResources = "Pad"
	PodResourcesShare PodResources = "Share"
)

// EnvVar is one environment variable with a literal value.
type EnvVar struct {
	// Name of the variable.
	//
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=256
	// +kubebuilder:validation:Pattern=`^[A-Za-z_][A-Za-z0-9_.-]*$`
	Name string `json:"name"`

	// Value of the variable.
	//
	// +optional
	// +kubebuilder:validation:MaxLength=8192
	Value string `json:"value,omitempty"`
}

// ResourceRatio is the proxy's share of what the application's containers have together.
type ResourceRatio struct {
	// Requests out of the application's requests.
	//
	// +optional
	Requests Ratios `json:"requests,omitempty"`

	// Limits out of the application's limits.
	//
	// +optional
	Limits Ratios `json:"limits,omitempty"`
}

// Ratios are the shares of CPU and memory.
type Ratios struct {
	// CPU share.
	//
	// +optional
	CPU *Ratio `json:"cpu,omitempty"`

	// Memory share.
	//
	// +optional
	Memory *Ratio `json:"memory,omitempty"`
}

// Ratio is a percentage between a floor and a ceiling.
type Ratio struct {
	// Percent of the sum over the application's containers. Where none of them sets any, spec.proxy.resources counts.
	//
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1000
	Percent int32 `json:"percent"`

	// Min is the least the proxy gets.
	//
	// +optional
	Min *resource.Quantity `json:"min,omitempty"`

	// Max is the most the proxy gets.
	//
	// +optional
	Max *resource.Quantity `json:"max,omitempty"`
}

// PullSecret names a Secret of type kubernetes.io/dockerconfigjson in the pod's namespace.
type PullSecret struct {
	// Name of the Secret.
	//
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name"`
}

// Probes is what becomes of the application's probes.
type Probes struct {
	// Rewrite sends HTTP, TCP and gRPC probes and hooks by way of the agent, since a kubelet has no place in the mesh.
	//
	// +kubebuilder:default=true
	Rewrite *bool `json:"rewrite,omitempty"`
}

// Prometheus is what becomes of the application's scrape annotations.
type Prometheus struct {
	// Merge has the agent serve the application's metrics with the sidecar's, as one target.
	//
	// +kubebuilder:default=true
	Merge *bool `json:"merge,omitempty"`
}
