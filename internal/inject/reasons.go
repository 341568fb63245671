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
	ReasonNeverSelector     Reason = "never-selector"
	ReasonPolicyExplicit    Reason = "policy-explicit"
	ReasonForeignSidecar    Reason = "foreign-sidecar"
)

// Reasons to inject.
const (
	ReasonPodLabel          Reason = "pod-label"
	ReasonPodAnnotation     Reason = "pod-annotation"
	ReasonAlwaysSelector    Reason = "always-selector"
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

// Meaning is a reason as documentation has it: what it does to a pod, and when. A decision's own sentence names the
// values as well.
type Meaning struct {
	Reason  Reason
	Outcome Outcome
	When    string
}

// Meanings of all reasons, in the order they are looked for.
func Meanings() []Meaning {
	return []Meaning{
		{ReasonHostNetwork, OutcomeSkip, "the pod uses the host's network"},
		{ReasonWindows, OutcomeSkip, "the pod is for Windows"},
		{ReasonMirrorPod, OutcomeSkip, "the pod mirrors a static pod"},
		{ReasonSystemNamespace, OutcomeSkip, "the namespace is a system one"},
		{ReasonOperatorNamespace, OutcomeSkip, "the namespace is the operator's"},
		{ReasonExcludedNamespace, OutcomeSkip, "the namespace is in spec.excludedNamespaces"},
		{ReasonPodLabel, OutcomeInject, "the pod's label says so"},
		{ReasonPodAnnotation, OutcomeInject, "the pod's annotation says so, and there is no label"},
		{ReasonPodOptedOut, OutcomeSkip, "the pod's label, or else its annotation, says no"},
		{ReasonNeverSelector, OutcomeSkip, "the pod says nothing, and a selector of spec.neverInject matches it"},
		{ReasonAlwaysSelector, OutcomeInject, "the pod says nothing, and a selector of spec.alwaysInject matches it"},
		{ReasonPolicyExplicit, OutcomeSkip, "the pod says nothing, and spec.policy is Explicit"},
		{ReasonNamespaceLabel, OutcomeInject, "the namespace's label istio-injection says so"},
		{ReasonNamespaceRevision, OutcomeInject, "the namespace's label istio.io/rev names the revision or tag"},
		{ReasonPodRevision, OutcomeInject, "the pod's label istio.io/rev names the revision or tag"},
		{ReasonOptOutPolicy, OutcomeInject, "nobody says anything, and spec.policy is OptOut"},
		{ReasonForeignSidecar, OutcomeSkip, "another mesh's sidecar is in the pod"},
		{ReasonAnnotationInvalid, OutcomeDeny, "an annotation's value is invalid"},
		{ReasonTemplateUnknown, OutcomeDeny, "the pod names a template that isn't there"},
		{ReasonOverrideInvalid, OutcomeDeny, "containers can't be saved in an annotation, or those saved by an earlier injection can't be read"},
		{ReasonUIDCollision, OutcomeDeny, "an application runs as the sidecar's user, so its traffic would not be captured"},
		{ReasonNotSelected, OutcomeSkip, "no webhook sees the pod, and neither it nor the namespace asks"},
		{ReasonNamespaceOptedOut, OutcomeSkip, "no webhook sees the pod: the namespace's label istio-injection says no"},
		{ReasonNamespaceLabelUnknown, OutcomeSkip, "no webhook sees the pod: the namespace's label istio-injection is neither enabled nor disabled"},
		{ReasonNamespaceRevisionUnknown, OutcomeSkip, "no webhook sees the pod: the namespace names a revision nobody has"},
		{ReasonPodRevisionUnknown, OutcomeSkip, "no webhook sees the pod: it names a revision nobody has"},
		{ReasonPodLabelUnknown, OutcomeSkip, "no webhook sees the pod: its label is neither yes nor no"},
		{ReasonNoDefaultInjector, OutcomeSkip, "no webhook sees the pod: it asks for the default Injector, and there is none"},
		{ReasonBodyInvalid, OutcomeError, "the request or its pod can't be read"},
		{ReasonInjectorUnknown, OutcomeError, "the webhook names an Injector that isn't served here"},
		{ReasonRenderFailed, OutcomeError, "a template failed on this pod"},
		{ReasonDeadline, OutcomeError, "the time for the request was over"},
		{ReasonInternal, OutcomeError, "the injector failed; its log has the cause"},
	}
}
