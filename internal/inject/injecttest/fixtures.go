// Package injecttest holds what tests and benchmarks of injection share: a compiled default Injector, a typical pod and
// its AdmissionReview (fixtures.go), and the truth table of the webhooks' selectors (truthtable.go), which tests compare
// with our own evaluation and with a real API server.
package injecttest

import (
	"fmt"
	"io/fs"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pillion-mesh/pillion/api/v1alpha1"
	"github.com/pillion-mesh/pillion/internal/inject"
)

// Operator is an operator as it is deployed by default.
func Operator(templates fs.FS) inject.Operator {
	return inject.Operator{
		Namespace: "pillion-system", Service: "pillion", ServicePort: 443, SidecarImage: "pillion/pillion-sidecar:dev",
		Mesh:      inject.Mesh{ID: "mesh1", TrustDomain: "cluster.local", ClusterID: "Kubernetes", ClusterDomain: "cluster.local"},
		Templates: templates,
	}
}

// Injector has a name, a revision and otherwise the defaults, after edits of its spec.
func Injector(name, revision string, edits ...func(*v1alpha1.InjectorSpec)) v1alpha1.Injector {
	inj := v1alpha1.Injector{ObjectMeta: metav1.ObjectMeta{Name: name}}
	inj.Spec.Revision = revision
	for _, edit := range edits {
		edit(&inj.Spec)
	}
	v1alpha1.SetDefaults(&inj)
	return inj
}

// NewSet compiles Injectors as an operator does.
func NewSet(op inject.Operator, injectors ...v1alpha1.Injector) (*inject.Set, error) {
	var programs []*inject.Program
	for i := range injectors {
		p, err := inject.Compile(&injectors[i], op)
		if err != nil {
			return nil, err
		}
		programs = append(programs, p)
	}
	owned, _ := inject.Claims(injectors)
	return inject.NewSet(op, programs, owned), nil
}

// TypicalPod is a Deployment's pod as API servers send it: 2 kB with defaults, a token volume, a probe, and this many
// environment variables.
func TypicalPod(env int) string {
	vars := make([]string, env)
	for i := range vars {
		vars[i] = fmt.Sprintf(`{"name":"VAR_%d","value":"value-%d"}`, i, i)
	}
	return strings.Replace(typicalPod, "ENV", strings.Join(vars, ","), 1)
}

const typicalPod = `{"kind":"Pod","apiVersion":"v1","metadata":{"generateName":"reviews-v1-6f7b8d5c9d-","namespace":"shop","creationTimestamp":null,` +
	`"labels":{"app":"reviews","version":"v1","pod-template-hash":"6f7b8d5c9d"},"annotations":{"checksum/config":"5f0c9a1e2b7d"},` +
	`"ownerReferences":[{"apiVersion":"apps/v1","kind":"ReplicaSet","name":"reviews-v1-6f7b8d5c9d","uid":"7a4b1c52-9f7d-4a9e-9d42-1f0f4f6d7a11","controller":true,"blockOwnerDeletion":true}]},` +
	`"spec":{"volumes":[{"name":"tmp","emptyDir":{}},{"name":"kube-api-access-x2x7z","projected":{"sources":[{"serviceAccountToken":{"expirationSeconds":3607,"path":"token"}},` +
	`{"configMap":{"name":"kube-root-ca.crt","items":[{"key":"ca.crt","path":"ca.crt"}]}},{"downwardAPI":{"items":[{"path":"namespace","fieldRef":{"apiVersion":"v1","fieldPath":"metadata.namespace"}}]}}],"defaultMode":420}}],` +
	`"containers":[{"name":"reviews","image":"registry.example/shop/reviews:1.20.3","ports":[{"name":"http","containerPort":9080,"protocol":"TCP"}],"env":[ENV],` +
	`"resources":{"limits":{"cpu":"1","memory":"512Mi"},"requests":{"cpu":"100m","memory":"128Mi"}},"volumeMounts":[{"name":"tmp","mountPath":"/tmp"},` +
	`{"name":"kube-api-access-x2x7z","readOnly":true,"mountPath":"/var/run/secrets/kubernetes.io/serviceaccount"}],` +
	`"livenessProbe":{"httpGet":{"path":"/health","port":9080,"scheme":"HTTP"},"initialDelaySeconds":10,"timeoutSeconds":1,"periodSeconds":10,"successThreshold":1,"failureThreshold":3},` +
	`"terminationMessagePath":"/dev/termination-log","terminationMessagePolicy":"File","imagePullPolicy":"IfNotPresent"}],` +
	`"restartPolicy":"Always","terminationGracePeriodSeconds":30,"dnsPolicy":"ClusterFirst","serviceAccountName":"reviews","serviceAccount":"reviews","securityContext":{},"schedulerName":"default-scheduler",` +
	`"tolerations":[{"key":"node.kubernetes.io/not-ready","operator":"Exists","effect":"NoExecute","tolerationSeconds":300},{"key":"node.kubernetes.io/unreachable","operator":"Exists","effect":"NoExecute","tolerationSeconds":300}],` +
	`"priority":0,"enableServiceLinks":true,"preemptionPolicy":"PreemptLowerPriority"},"status":{}}`

// Review is the AdmissionReview an API server sends for a pod.
func Review(pod string) []byte {
	return []byte(`{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1","request":{"uid":"705ab4f5-6393-11e8-b7cc-42010a800002","kind":{"group":"","version":"v1","kind":"Pod"},` +
		`"resource":{"group":"","version":"v1","resource":"pods"},"requestKind":{"group":"","version":"v1","kind":"Pod"},"requestResource":{"group":"","version":"v1","resource":"pods"},` +
		`"namespace":"shop","operation":"CREATE","userInfo":{"username":"system:serviceaccount:kube-system:replicaset-controller","uid":"1","groups":["system:serviceaccounts","system:authenticated"]},` +
		`"object":` + pod + `,"oldObject":null,"dryRun":false,"options":{"kind":"CreateOptions","apiVersion":"meta.k8s.io/v1"}}}`)
}
