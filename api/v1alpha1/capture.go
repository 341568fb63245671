package v1alpha1

// CaptureMode says how a pod's traffic reaches the proxy.
//
// +kubebuilder:validation:Enum=REDIRECT;TPROXY;NONE
type CaptureMode string

// Capture modes, in Istio's spelling.
const (
	CaptureRedirect CaptureMode = "REDIRECT"
	CaptureTProxy   CaptureMode = "TPROXY" // the application sees its clients' addresses
	CaptureNone     CaptureMode = "NONE"
)

// Capture is what of a pod's traffic goes through the proxy. Each field has an annotation of the same name.
type Capture struct {
	// Mode is REDIRECT; TPROXY, for applications that have to see their clients' addresses: then the proxy runs as root
	// with NET_ADMIN and no other capability; or NONE for no capture at all.
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

	// ExcludeInterfaces are captured in neither direction.
	//
	// +optional
	ExcludeInterfaces string `json:"excludeInterfaces,omitempty"`

	// ExcludeOutboundUIDs are users, or ranges of them, whose connections are left alone.
	//
	// +optional
	ExcludeOutboundUIDs string `json:"excludeOutboundUIDs,omitempty"`

	// ExcludeInboundIPRanges are sources whose connections are left alone.
	//
	// +optional
	ExcludeInboundIPRanges string `json:"excludeInboundIPRanges,omitempty"`

	// DNS capture. Only Off so far: there is no resolver in the sidecar yet.
	//
	// +kubebuilder:default=Off
	// +kubebuilder:validation:Enum=Off
	DNS CaptureDNS `json:"dns,omitempty"`

	// Backend writes the rules. Auto takes what the node has. Iptables needs an image that has iptables.
	//
	// +kubebuilder:default=Auto
	// +kubebuilder:validation:Enum=Auto;Nftables;Iptables
	Backend CaptureBackend `json:"backend,omitempty"`

	// IPFamilies that are captured. Auto: those the pod has.
	//
	// +kubebuilder:default=Auto
	// +kubebuilder:validation:Enum=Auto;IPv4;IPv6;Dual
	IPFamilies IPFamilies `json:"ipFamilies,omitempty"`
}

// CaptureDNS says which DNS queries go to the sidecar's resolver.
type CaptureDNS string

// CaptureDNSOff leaves DNS alone.
const CaptureDNSOff CaptureDNS = "Off"

// CaptureBackend writes the rules.
type CaptureBackend string

// Backends.
const (
	BackendAuto     CaptureBackend = "Auto"
	BackendNftables CaptureBackend = "Nftables"
	BackendIptables CaptureBackend = "Iptables"
)

// IPFamilies are the address families that are captured.
type IPFamilies string

// Families.
const (
	FamiliesAuto IPFamilies = "Auto"
	FamiliesIPv4 IPFamilies = "IPv4"
	FamiliesIPv6 IPFamilies = "IPv6"
	FamiliesDual IPFamilies = "Dual"
)
