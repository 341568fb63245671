package testenv

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
)

const issueTimeout = 30 * time.Second

// WaitIssued waits until cert-manager has put a certificate into the Secret, another than previous has if that isn't
// nil, and returns the Secret.
func (c *Cluster) WaitIssued(t testing.TB, namespace, secret string, previous *corev1.Secret) *corev1.Secret {
	t.Helper()
	var found *corev1.Secret
	c.poll(t, namespace, "a new certificate in Secret "+secret, func(ctx context.Context) (err error) {
		found, err = c.Client.CoreV1().Secrets(namespace).Get(ctx, secret, metav1.GetOptions{})
		if err != nil {
			return err
		}
		issued := found.Data[corev1.TLSCertKey]
		if len(issued) == 0 || previous != nil && bytes.Equal(issued, previous.Data[corev1.TLSCertKey]) {
			return fmt.Errorf("it has %d bytes of the one before", len(issued))
		}
		return nil
	})
	return found
}

// WaitIdle waits until no issuance of the Certificate is under way. One ends a moment after its Secret has changed; what
// asks for another before that, the condition Issuing or a deleted Secret, is answered by the same certificate.
func (c *Cluster) WaitIdle(t testing.TB, namespace, certificate string) {
	t.Helper()
	c.poll(t, namespace, "the end of Certificate "+certificate+"'s issuance", func(ctx context.Context) error {
		return notIssuing(ctx, c.Client.CoreV1().RESTClient(), certificatePath(namespace, certificate))
	})
}

// Renew has cert-manager issue the Certificate once more, now, as `cmctl renew` does: by the condition Issuing, after
// WaitIdle.
func (c *Cluster) Renew(t testing.TB, namespace, certificate string) {
	t.Helper()
	c.WaitIdle(t, namespace, certificate)
	condition := fmt.Sprintf(`{apiVersion: cert-manager.io/v1, kind: Certificate, metadata: {name: %s}, status: {conditions: [
		{type: Issuing, status: "True", reason: ManuallyTriggered, message: asked for by a test, lastTransitionTime: %q}]}}`,
		certificate, time.Now().UTC().Format(time.RFC3339))
	ctx, cancel := context.WithTimeout(context.Background(), issueTimeout)
	defer cancel()
	err := c.Client.CoreV1().RESTClient().Patch(types.ApplyYAMLPatchType).
		AbsPath(certificatePath(namespace, certificate), "status").Param("fieldManager", "testenv").Param("force", "true").
		Body([]byte(condition)).Do(ctx).Error()
	if err != nil {
		t.Fatalf("renewing Certificate %s/%s: %v", namespace, certificate, err)
	}
}

func certificatePath(namespace, name string) string {
	return fmt.Sprintf("/apis/cert-manager.io/v1/namespaces/%s/certificates/%s", namespace, name)
}

func notIssuing(ctx context.Context, api rest.Interface, path string) error {
	data, err := api.Get().AbsPath(path).Do(ctx).Raw()
	if err != nil {
		return err
	}
	var certificate struct {
		Status struct{ Conditions []metav1.Condition }
	}
	if err := json.Unmarshal(data, &certificate); err != nil {
		return err
	}
	for _, condition := range certificate.Status.Conditions {
		if condition.Type == "Issuing" && condition.Status == metav1.ConditionTrue {
			return fmt.Errorf("issuing: %s", condition.Message)
		}
	}
	return nil
}

// poll waits until done returns nil, and otherwise fails the test with what cert-manager says in the namespace.
func (c *Cluster) poll(t testing.TB, namespace, what string, done func(context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), issueTimeout)
	defer cancel()
	for {
		err := done(ctx)
		if err == nil {
			return
		}
		select {
		case <-ctx.Done():
			said, _ := c.Kubectl(t, "", "get", "certificates,certificaterequests", "-n", namespace, "-o", "wide")
			t.Fatalf("waited %s for %s in %s; the last answer: %v\n%s", issueTimeout, what, namespace, err, said)
		case <-time.After(25 * time.Millisecond):
		}
	}
}
