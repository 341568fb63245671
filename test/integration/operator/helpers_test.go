package operator

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"path/filepath"
	"testing"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/pillion-mesh/pillion/api/v1alpha1"
)

func errorf(format string, args ...any) error { return fmt.Errorf(format, args...) }

// otherCA is a CA that never signed anything of ours.
func otherCA(t *testing.T) []byte {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	ca := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "another"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, ca, ca, key.Public(), key)
	must(t, err)
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

func useURL(e *env) func(*v1alpha1.Injector) {
	return func(i *v1alpha1.Injector) { i.Spec.Webhook.URL = e.service.url() }
}

// serviceAccountKubeconfig makes a token of a ServiceAccount in the operator's namespace and a kubeconfig with it.
func (e *env) serviceAccountKubeconfig(name string) string {
	e.t.Helper()
	token, err := e.cluster.Client.CoreV1().ServiceAccounts(e.namespace).CreateToken(e.ctx(), name, &authenticationv1.TokenRequest{}, metav1.CreateOptions{})
	must(e.t, err)
	c, err := clientcmd.LoadFromFile(e.cluster.Kubeconfig())
	must(e.t, err)
	for user := range c.AuthInfos {
		c.AuthInfos[user] = &clientcmdapi.AuthInfo{Token: token.Status.Token}
	}
	path := filepath.Join(e.t.TempDir(), "kubeconfig")
	must(e.t, clientcmd.WriteToFile(*c, path))
	return path
}

func config(t *testing.T, kubeconfig string) *rest.Config {
	t.Helper()
	c, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	must(t, err)
	return c
}

// emptyNamespace removes what an operator leaves in a namespace that the test doesn't delete.
func (e *env) emptyNamespace() {
	for _, object := range []client.Object{&corev1.Secret{}, &corev1.ConfigMap{}, &coordinationv1.Lease{}, &discoveryv1.EndpointSlice{}} {
		if err := e.client.DeleteAllOf(context.Background(), object, client.InNamespace(e.namespace)); err != nil {
			e.t.Errorf("emptying namespace %s: %v", e.namespace, err)
		}
	}
}

func key(name string) client.ObjectKey { return client.ObjectKey{Name: name} }
