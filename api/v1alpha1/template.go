package v1alpha1

// Template is one named template: its text, or where that is.
//
// +kubebuilder:validation:XValidation:rule="(has(self.inline) && size(self.inline) > 0) != has(self.configMapRef)",message="a template has exactly one of inline and configMapRef"
type Template struct {
	// Name of the template, as pods and defaultTemplates give it.
	//
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9]*[a-z0-9])?$`
	Name string `json:"name"`

	// Inline is the template's text: a partial Pod in YAML.
	//
	// +optional
	// +kubebuilder:validation:MaxLength=65536
	Inline string `json:"inline,omitempty"`

	// ConfigMapRef is where the text is: a key of a ConfigMap in the operator's namespace. A change of it is seen at once.
	//
	// +optional
	ConfigMapRef *ConfigMapKey `json:"configMapRef,omitempty"`
}

// ConfigMapKey is one key of a ConfigMap in the operator's namespace.
type ConfigMapKey struct {
	// Name of the ConfigMap.
	//
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name"`

	// Key in its data.
	//
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Key string `json:"key"`
}

// Alias is a name for several templates.
type Alias struct {
	// Name of the alias; no template has it.
	//
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9]*[a-z0-9])?$`
	Name string `json:"name"`

	// Templates it stands for, in order.
	//
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=8
	// +listType=atomic
	Templates []string `json:"templates"`
}
