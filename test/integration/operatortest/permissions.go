package operatortest

import (
	"context"
	"path/filepath"
	"testing"

	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
)

// ConfigDir is config/ from the folder of a package two below test/, where tests run.
const ConfigDir = "../../../config"

// Build is `kubectl kustomize` of a folder of config/.
func Build(t *testing.T, folder string) []*unstructured.Unstructured {
	t.Helper()
	resources, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(filesys.MakeFsOnDisk(), filepath.Join(ConfigDir, folder))
	if err != nil {
		t.Fatalf("kustomize build config/%s: %v", folder, err)
	}
	var all []*unstructured.Unstructured
	for _, r := range resources.Resources() {
		content, err := r.Map()
		Must(t, err)
		all = append(all, &unstructured.Unstructured{Object: content})
	}
	return all
}

// OperatorNamespace makes pillion-system as config/default has it, which its pods have to pass. It stays.
func (e *Env) OperatorNamespace() {
	e.T.Helper()
	for _, object := range Build(e.T, "default") {
		if object.GetKind() == "Namespace" {
			Must(e.T, client.IgnoreAlreadyExists(e.Client.Create(e.Ctx(), object)))
			return
		}
	}
	e.T.Fatal("config/default has no Namespace")
}

// Permissions makes the ServiceAccounts of a folder of config, their RBAC and the admission policies.
func (e *Env) Permissions(folder string) {
	e.T.Helper()
	for _, object := range Build(e.T, folder) {
		switch object.GetKind() {
		case "ServiceAccount", "ClusterRole", "Role", "ClusterRoleBinding", "RoleBinding", "ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding":
			Must(e.T, e.Client.Apply(e.Ctx(), client.ApplyConfigurationFromUnstructured(object), client.ForceOwnership, client.FieldOwner("test")))
			e.T.Cleanup(func() { _ = e.Client.Delete(context.Background(), object) })
		}
	}
}

// KubeconfigOf makes a token of a ServiceAccount in the operator's namespace and a kubeconfig with it.
func (e *Env) KubeconfigOf(serviceAccount string) string {
	e.T.Helper()
	token, err := e.Cluster.Client.CoreV1().ServiceAccounts(e.Namespace).CreateToken(e.Ctx(), serviceAccount, &authenticationv1.TokenRequest{}, metav1.CreateOptions{})
	Must(e.T, err)
	c, err := clientcmd.LoadFromFile(e.Cluster.Kubeconfig())
	Must(e.T, err)
	for user := range c.AuthInfos {
		c.AuthInfos[user] = &clientcmdapi.AuthInfo{Token: token.Status.Token}
	}
	path := filepath.Join(e.T.TempDir(), "kubeconfig")
	Must(e.T, clientcmd.WriteToFile(*c, path))
	return path
}

// ClientOf is one with a kubeconfig's permissions.
func (e *Env) ClientOf(kubeconfig string) client.Client {
	e.T.Helper()
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	Must(e.T, err)
	c, err := client.New(config, client.Options{Scheme: e.Client.Scheme()})
	Must(e.T, err)
	return c
}
