package inject

import (
	"encoding/json"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/strategicpatch"

	"github.com/pillion-mesh/pillion/internal/inject/rawjson"
)

// unionCases are two answers to one question each; is is the schema of where they stand.
var unionCases = []struct {
	name                    string
	is                      *schema
	base, overlay           string
	merged, filled, adopted string // adopted: overlay is wanted where base stands
}{
	{"probe", containerSchema.field("readinessProbe"),
		`{"httpGet":{"port":1},"periodSeconds":2}`, `{"exec":{"command":["a"]},"timeoutSeconds":3}`,
		`{"periodSeconds":2,"exec":{"command":["a"]},"timeoutSeconds":3}`,
		`{"httpGet":{"port":1},"periodSeconds":2,"timeoutSeconds":3}`,
		`{"periodSeconds":2,"exec":{"command":["a"]},"timeoutSeconds":3}`},
	{"same handler", containerSchema.field("livenessProbe"),
		`{"httpGet":{"port":1,"scheme":"HTTP"}}`, `{"httpGet":{"port":2}}`,
		`{"httpGet":{"port":2,"scheme":"HTTP"}}`, `{"httpGet":{"port":1,"scheme":"HTTP"}}`, `{"httpGet":{"port":2,"scheme":"HTTP"}}`},
	{"no handler said", containerSchema.field("startupProbe"),
		`{"grpc":{"port":1}}`, `{"periodSeconds":1,"exec":null}`,
		`{"grpc":{"port":1},"periodSeconds":1}`, `{"grpc":{"port":1},"periodSeconds":1}`, `{"grpc":{"port":1},"periodSeconds":1,"exec":null}`},
	{"null is no handler", containerSchema.field("startupProbe"),
		`{"exec":null}`, `{"grpc":{"port":1}}`, `{"grpc":{"port":1}}`, `{"exec":null,"grpc":{"port":1}}`, `{"grpc":{"port":1}}`},
	{"hook", containerSchema.field("lifecycle"),
		`{"preStop":{"sleep":{"seconds":1}},"postStart":{"exec":{}}}`, `{"preStop":{"httpGet":{"port":1}}}`,
		`{"preStop":{"httpGet":{"port":1}},"postStart":{"exec":{}}}`,
		`{"preStop":{"sleep":{"seconds":1}},"postStart":{"exec":{}}}`,
		`{"preStop":{"httpGet":{"port":1}},"postStart":{"exec":{}}}`},
	{"volume", specSchema.field("volumes").item,
		`{"name":"v","emptyDir":{}}`, `{"name":"v","hostPath":{"path":"/x"}}`,
		`{"name":"v","hostPath":{"path":"/x"}}`, `{"name":"v","emptyDir":{}}`, `{"name":"v","hostPath":{"path":"/x"}}`},
	{"seccomp", containerSchema.field("securityContext"),
		`{"seccompProfile":{"type":"Localhost","localhostProfile":"p"}}`, `{"seccompProfile":{"type":"RuntimeDefault"}}`,
		`{"seccompProfile":{"type":"RuntimeDefault"}}`, `{"seccompProfile":{"type":"Localhost","localhostProfile":"p"}}`, `{"seccompProfile":{"type":"RuntimeDefault"}}`},
	{"AppArmor of the pod", specSchema.field("securityContext"),
		`{"appArmorProfile":{"type":"Unconfined"}}`, `{"appArmorProfile":{"type":"Localhost","localhostProfile":"p"}}`,
		`{"appArmorProfile":{"type":"Localhost","localhostProfile":"p"}}`, `{"appArmorProfile":{"type":"Unconfined"}}`, `{"appArmorProfile":{"type":"Localhost","localhostProfile":"p"}}`},
	{"variables", containerSchema,
		`{"env":[{"name":"A","value":"x"}]}`, `{"env":[{"name":"A","valueFrom":{"fieldRef":{"fieldPath":"a"}}}]}`,
		`{"env":[{"name":"A","valueFrom":{"fieldRef":{"fieldPath":"a"}}}]}`, `{"env":[{"name":"A","value":"x"}]}`, `{"env":[{"name":"A","valueFrom":{"fieldRef":{"fieldPath":"a"}}}]}`},
	{"kinds of valueFrom", containerSchema,
		`{"env":[{"name":"A","valueFrom":{"fieldRef":{"apiVersion":"v1","fieldPath":"a"}}}]}`, `{"env":[{"name":"A","valueFrom":{"secretKeyRef":{"key":"k"}}}]}`,
		`{"env":[{"name":"A","valueFrom":{"secretKeyRef":{"key":"k"}}}]}`, `{"env":[{"name":"A","valueFrom":{"fieldRef":{"apiVersion":"v1","fieldPath":"a"}}}]}`,
		`{"env":[{"name":"A","valueFrom":{"secretKeyRef":{"key":"k"}}}]}`},
	{"mounts are filled in whole", containerSchema,
		`{"volumeMounts":[{"mountPath":"/m","name":"a"}]}`, `{"volumeMounts":[{"mountPath":"/m","subPath":"s"},{"mountPath":"/n","name":"n"}]}`,
		`{"volumeMounts":[{"mountPath":"/m","name":"a","subPath":"s"},{"mountPath":"/n","name":"n"}]}`,
		`{"volumeMounts":[{"mountPath":"/m","name":"a"},{"mountPath":"/n","name":"n"}]}`,
		`{"volumeMounts":[{"mountPath":"/m","name":"a","subPath":"s"},{"mountPath":"/n","name":"n"}]}`},
}

// TestUnions: of fields that exclude each other one is left, whoever meets whom.
func TestUnions(t *testing.T) {
	for _, c := range unionCases {
		base, errB := rawjson.Parse(c.base)
		overlay, errO := rawjson.Parse(c.overlay)
		if errB != nil || errO != nil {
			t.Fatal(c.name, errB, errO)
		}
		if got := merge(base, overlay, c.is).String(); got != c.merged {
			t.Errorf("%s: merged it is\n%s, want\n%s", c.name, got, c.merged)
		}
		if got := fill(base, overlay, c.is).String(); got != c.filled {
			t.Errorf("%s: filled in it is\n%s, want\n%s", c.name, got, c.filled)
		}
		if got := adopt(base, overlay, c.is).String(); got != c.adopted {
			t.Errorf("%s: adopted it is\n%s, want\n%s", c.name, got, c.adopted)
		}
	}
}

// TestMergeIsStricterThanStrategic: the API machinery leaves both members of a union standing, which is why
// TestMergeIsStrategic has pods without two. Should it learn of unions, ours can go.
func TestMergeIsStricterThanStrategic(t *testing.T) {
	base, overlay := `{"spec":{"containers":[{"name":"a","livenessProbe":{"httpGet":{"port":1}}}]}}`, `{"spec":{"containers":[{"name":"a","livenessProbe":{"exec":{}}}]}}`
	both, err := strategicpatch.StrategicMergePatch([]byte(base), []byte(overlay), corev1.Pod{})
	if err != nil {
		t.Fatal(err)
	}
	var pod corev1.Pod
	if err := json.Unmarshal(both, &pod); err != nil {
		t.Fatal(err)
	}
	if probe := pod.Spec.Containers[0].LivenessProbe; probe.HTTPGet == nil || probe.Exec == nil {
		t.Errorf("strategic merge now gives %s: podSchema's unions may no longer be needed", both)
	}
}
