package inject

// Reason is why a decision was taken. These are all there are; users see them in warnings, events, logs, metrics.
type Reason string

// Reasons to skip a pod, whatever it asks for.
const (
	ReasonHostNetwork       Reason = "host-network"
	ReasonWindows           Reason = "windows"
	ReasonMirrorPod         Reason = "mirror-pod"
	ReasonSystemNamespace   Reason = "system-namespace"
	ReasonOperatorNamespace Reason = "operator-namespace"
	ReasonExcludedNamespace Reason = "excluded-namespace"
	ReasonPodOptedOut       Reason = "pod-opted-out"
	ReasonPolicyExplicit    Reason = "policy-explicit"
	ReasonForeignSidecar    Reason = "foreign-sidecar"
)

// Reasons to inject.
const (
	ReasonPodLabel          Reason = "pod-label"
	ReasonPodAnnotation     Reason = "pod-annotation"
	ReasonNamespaceLabel    Reason = "namespace-label"
	ReasonNamespaceRevision Reason = "namespace-revision"
	ReasonPodRevision       Reason = "pod-revision"
	ReasonOptOutPolicy      Reason = "opt-out-policy"
)

// Reasons to deny a pod.
const (
	ReasonAnnotationInvalid Reason = "annotation-invalid"
	ReasonTemplateUnknown   Reason = "template-unknown"
	ReasonOverrideInvalid   Reason = "override-invalid"
	ReasonUIDCollision      Reason = "uid-collision"
)

// Reasons why no webhook entry matches.
const (
	ReasonNotSelected              Reason = "not-selected"
	ReasonNamespaceOptedOut        Reason = "namespace-opted-out"
	ReasonNamespaceLabelUnknown    Reason = "namespace-label-unknown"
	ReasonNamespaceRevisionUnknown Reason = "namespace-revision-unknown"
	ReasonPodRevisionUnknown       Reason = "pod-revision-unknown"
	ReasonPodLabelUnknown          Reason = "pod-label-unknown"
	ReasonNoDefaultInjector        Reason = "no-default-injector"
)

// Errors: the request could not be decided or carried out.
const (
	ReasonBodyInvalid     Reason = "body-invalid"
	ReasonInjectorUnknown Reason = "injector-unknown"
	ReasonRenderFailed    Reason = "render-failed"
	ReasonDeadline        Reason = "deadline"
	ReasonInternal        Reason = "internal"
)
