package v1alpha1

// EvictMode says which pods are evicted so that they come back with a sidecar.
//
// +kubebuilder:validation:Enum=Never;Missing;MissingAndStale
type EvictMode string

// Evict modes.
const (
	EvictNever           EvictMode = "Never"
	EvictMissing         EvictMode = "Missing"
	EvictMissingAndStale EvictMode = "MissingAndStale"
)

// Workload says what happens to pods that run without the sidecar they should have, or with an old one.
type Workload struct {
	// Evict pods by the Eviction API, which respects PodDisruptionBudgets, so that they come back as they should be.
	//
	// +kubebuilder:default=Never
	Evict EvictMode `json:"evict,omitempty"`

	// DryRun only says in Events and metrics which pods would be evicted. Set it to false once that is what you want.
	//
	// +kubebuilder:default=true
	DryRun *bool `json:"dryRun,omitempty"`

	// EvictionsPerMinute is the most there are, over all namespaces.
	//
	// +kubebuilder:default=6
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=30
	EvictionsPerMinute int32 `json:"evictionsPerMinute,omitempty"`

	// MaintenanceWindows are when pods may be evicted. None: at any time.
	//
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=16
	MaintenanceWindows []MaintenanceWindow `json:"maintenanceWindows,omitempty"`
}

// Weekday is a day of the week.
//
// +kubebuilder:validation:Enum=Mon;Tue;Wed;Thu;Fri;Sat;Sun
type Weekday string

// MaintenanceWindow is a time of day on some days of the week.
type MaintenanceWindow struct {
	// Days on which it begins. None: every day.
	//
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=7
	Days []Weekday `json:"days,omitempty"`

	// Start of the window: HH:MM.
	//
	// +kubebuilder:validation:Pattern=`^([01][0-9]|2[0-3]):[0-5][0-9]$`
	Start string `json:"start"`

	// End of the window: HH:MM. At or before start: on the next day.
	//
	// +kubebuilder:validation:Pattern=`^([01][0-9]|2[0-3]):[0-5][0-9]$`
	End string `json:"end"`

	// TimeZone of both, such as Europe/Berlin.
	//
	// +kubebuilder:default=UTC
	// +kubebuilder:validation:MaxLength=64
	TimeZone string `json:"timeZone,omitempty"`
}
