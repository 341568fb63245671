// Package inject decides whether a pod gets a sidecar and makes the JSON patch that adds it. It is pure: no clock, no
// network, no API server.
//
// In comes an Injector (Compile turns it into a Program) and, for each pod, a Request. Out goes a Result: the Decision
// with its reasons, and an RFC 6902 patch. The steps are one file each, in this order: webhooks.go (which pods the API
// server sends us), decide.go, annotations.go, template.go and render.go, merge.go, order.go, patch.go, report.go. Read
// this file first, then set.go.
package inject

import (
	"io/fs"

	"github.com/pillion-mesh/pillion/internal/inject/rawjson"
)

// Operator is what the injector knows of its operator: one value per process.
type Operator struct {
	Namespace    string // pillion-system; never injected
	Service      string // "pillion"
	ServicePort  int32  // 443
	SidecarImage string // used where spec.proxy.image is empty
	Mesh         Mesh
	Templates    fs.FS // the built-in templates: NAME.yaml
}

// Mesh are the facts about the mesh that templates can use.
type Mesh struct {
	ID               string `json:"id,omitempty"`
	TrustDomain      string `json:"trustDomain,omitempty"`
	ClusterID        string `json:"clusterID,omitempty"`
	ClusterDomain    string `json:"clusterDomain,omitempty"`
	Network          string `json:"network,omitempty"`
	DiscoveryAddress string `json:"discoveryAddress,omitempty"`
	CAAddress        string `json:"caAddress,omitempty"`
}

// Namespace is what Select, Decide and templates see of a namespace.
type Namespace struct {
	Name        string
	Labels      map[string]string
	Annotations map[string]string
	Allowance   Allowance
}

// EnvVar is one environment variable for the proxy container.
type EnvVar struct{ Name, Value string }

// Owner is the workload a pod belongs to.
type Owner struct {
	APIVersion, Kind, Name, UID string
}

// Request is one pod to decide about.
type Request struct {
	UID       string
	Injector  string // from the webhook's path; "" is the default one
	Entry     string // which webhook entry matched; "" runs Select
	Namespace Namespace
	Pod       []byte         // the object's JSON as it came
	Object    *rawjson.Value // the same, where it is read already
	Owner     Owner          // zero: from the pod's owner references
	Native    bool           // every node, or the pod's, runs kubelet 1.33 or later; used when nativeSidecar is Auto
	Env       []EnvVar       // from the webhook's path
	DryRun    bool
	Room      []byte // for the patch, which keeps it; may be nil
}

// Outcome is what becomes of a pod.
type Outcome string

// Outcomes.
const (
	OutcomeInject Outcome = "inject"
	OutcomeSkip   Outcome = "skip"
	OutcomeDeny   Outcome = "deny"
	OutcomeError  Outcome = "error"
)

// Decision is what Decide found and why.
type Decision struct {
	Outcome   Outcome  `json:"outcome"`
	Injector  string   `json:"injector,omitempty"`
	Entry     string   `json:"entry,omitempty"`
	Templates []string `json:"templates,omitempty"`
	Hash      string   `json:"hash,omitempty"`
	Reasons   []Step   `json:"reasons"` // the first is the decisive one, the rest are those passed before it
	Warnings  []string `json:"warnings,omitempty"`
	Faults    []Fault  `json:"faults,omitempty"` // of a denial, all at once
	Asked     bool     `json:"asked"`            // pod or namespace asked for injection
	advice    advice
}

// Step is one reason with its sentence.
type Step struct {
	Reason  Reason `json:"reason"`
	Message string `json:"message"`
}

// Fault is one thing wrong with a pod. Message is complete: it names field, value and what is wanted.
type Fault struct {
	Field   string `json:"field"`
	Value   string `json:"value"`
	Message string `json:"message"`
}

// Result is a decision carried out.
type Result struct {
	Decision
	Owner     Owner  // the pod's workload; that of a Deployment or CronJob has no UID
	Reference Owner  // the owner the pod itself names, with its UID, or the pod: what Events are about
	PodName   string // or what it will start with, if the API server makes it
	Patch     []byte // RFC 6902; nil if there is nothing to change
	pod       *rawjson.Value
}

// Pod is the pod's JSON after the patch; nil unless the outcome is inject.
func (r *Result) Pod() []byte {
	if r.pod == nil {
		return nil
	}
	return r.pod.Append(nil)
}

// Reason of the decision: its code.
func (d *Decision) Reason() Reason {
	if len(d.Reasons) == 0 {
		return ReasonInternal
	}
	return d.Reasons[0].Reason
}

// Message of the decision: its sentence.
func (d *Decision) Message() string {
	if len(d.Reasons) == 0 {
		return ""
	}
	return d.Reasons[0].Message
}
